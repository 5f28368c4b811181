"""Holds a model's summary against the text it is of: what code can refute is not shown."""

from __future__ import annotations

import re

from longctx.ingest.words import words
from longctx.prompts.key_sentences import sentences

# So many words in a row are a copy: its sentence says nothing in the model's own words.
_COPIED = 14
_TITLE = re.compile(r"\b(Mr|Mrs|Ms|Dr|St)\.")
_NAME = re.compile(
    r"(?<![.!?:]\s)(?<!^)(?<![\"“‘'(])\b[A-Z][a-z]+(?:-[A-Z][a-z]+)*\b|\d[\d,.]*\d|\d"
)


def grounded(summary: str, text: str) -> tuple[str, int, int]:
    """The sentences of `summary` that may stand, how many name what `text` does not, how many copy.

    A name or a number that the text does not have shows that a sentence is of something else.
    """
    known, run = set(words(text)), f" {' '.join(words(text))} "
    kept: list[str] = []
    foreign = copied = 0
    for start, end in sentences(summary):
        sentence = summary[start:end]
        names = [
            word for name in _NAME.findall(_TITLE.sub(r"\1", sentence)) for word in words(name)
        ]
        said = words(sentence)
        if not all(name in known or name.rstrip("s") in known for name in names):
            foreign += 1
        elif _is_copied(said, run):
            copied += 1
        else:
            kept.append(sentence)
    return " ".join(kept), foreign, copied


def _is_copied(said: list[str], run: str) -> bool:
    """Whether a run of the words stands in the text as it is."""
    if len(said) < _COPIED:
        return False
    starts = range(len(said) - _COPIED + 1)
    return any(f" {' '.join(said[start : start + _COPIED])} " in run for start in starts)
