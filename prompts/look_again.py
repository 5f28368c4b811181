"""A second look at an answer: the model sees its sources alone, not the documents they are from.

Amid its documents a model says Yes to nearly all that it has just written; of three sentences it
tells far better what they do not say.
"""

from __future__ import annotations

from collections.abc import Sequence

from longctx.prompts.chance import chance_of_yes
from longctx.prompts.join import JOIN_CHARACTERS, NO_DOCUMENTS
from longctx.prompts.question import Citation, Task
from longctx.prompts.template import fill

# An answer with a lower chance is shown with a warning.
SURE = 0.6


def look_again(
    answer: str, question: str, citations: Sequence[Citation], label: str = ""
) -> Task[float | None]:
    """The chance that the answer is right by what its Citations say; None without any."""
    quotes = "\n".join(dict.fromkeys(" ".join(one.quote.split()) for one in citations))
    if not quotes:
        return None
    text = fill("look_again", quotes=quotes[:JOIN_CHARACTERS], question=question, answer=answer)
    return (yield from chance_of_yes(NO_DOCUMENTS, text, label))
