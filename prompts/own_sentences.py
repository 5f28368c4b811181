"""The sentences that only one of two passages has: computed, so that no model need compare."""

from __future__ import annotations

import re
from collections.abc import Iterator

from longctx.ingest.words import words

_END = re.compile(r"(?<=[.;:!?])\s+|(?<=[。；：！？])|\n\s*\n")


def own_sentences(text: str, other: str) -> tuple[str, ...]:
    """The sentences of `text` that do not stand word for word in `other`, in order."""
    return tuple(" ".join(text[start:end].split()) for start, end in own_ranges(text, other))


def own_ranges(text: str, other: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of `text` that `other` does not have begin and end."""
    known = f" {' '.join(words(other))} "
    start = 0
    for end, following in (*((at.start(), at.end()) for at in _END.finditer(text)), (len(text), 0)):
        said = words(text[start:end])
        # the number of a clause alone says nothing
        tells = any(word[0].isalpha() for word in said)
        if tells and f" {' '.join(said)} " not in known:
            begin = start + len(text[start:end]) - len(text[start:end].lstrip())
            yield begin, begin + len(text[start:end].strip())
        start = following
