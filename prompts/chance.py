"""How likely a model holds it that the answer to a question is Yes; nothing is written for it."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.prompts.pack import Pack
from longctx.prompts.question import Question, Task, Turn


def chance_of_yes(pack: Pack, text: str, label: str, turns: Sequence[Turn] = ()) -> Task[float]:
    """The chance of Yes against No, of a question on the Pack that asks for one of them."""
    said = yield Question(pack, text, choices=("Yes", "No"), turns=tuple(turns), label=label)
    assert said is not None
    return said.probabilities["Yes"]
