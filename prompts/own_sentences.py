"""The sentences that only one of two passages has: computed, so that no model need compare."""

from __future__ import annotations

import re

from longctx.ingest.words import words

_END = re.compile(r"(?<=[.;:!?])\s+|(?<=[。；：！？])|\n\s*\n")


def own_sentences(text: str, other: str) -> tuple[str, ...]:
    """The sentences of `text` that do not stand word for word in `other`, in order."""
    known = f" {' '.join(words(other))} "
    found = (" ".join(sentence.split()) for sentence in _END.split(text))
    return tuple(
        sentence
        for sentence in found
        if (said := words(sentence)) and f" {' '.join(said)} " not in known
    )
