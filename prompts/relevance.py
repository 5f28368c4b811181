"""How much each of several texts has to do with a question, by the rare words they share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from longctx.ingest.words import words

_SATURATION = 1.2
_LENGTH_SHARE = 0.75
# A crude stem: "conveying" and "conveyed" are one word, most words of other sense are not.
_STEM_CHARACTERS = 6
_LONGEST_SINGULAR = 3
# In a short text these may be rarer than what a question is about.
_FUNCTION_WORDS = frozenset(
    "a an and any are as at be been by can could did do does for from give given had has have "
    "how if in into is it its kind many may much must no not of on or shall should than that "
    "the their them there these they this to was were what when where which who whom whose why "
    "will with would you your".split()
)


def relevance(texts: Sequence[str], question: str) -> list[float]:
    """A score of 0 or more for each text (BM25, Robertson and Zaragoza 2009)."""
    asked = words(question)
    wanted = set(_stems([word for word in asked if word not in _FUNCTION_WORDS] or asked))
    if not wanted:
        return [0.0] * len(texts)
    counts: list[Counter[str]] = []
    lengths: list[int] = []
    for text in texts:
        stems = _stems(words(text))
        lengths.append(len(stems))
        counts.append(Counter(stem for stem in stems if stem in wanted))
    mean_length = sum(lengths) / max(1, len(lengths)) or 1.0
    spread = Counter(stem for count in counts for stem in count)
    rarity = {
        stem: math.log(1 + (len(texts) - number + 0.5) / (number + 0.5))
        for stem, number in spread.items()
    }
    scores: list[float] = []
    for count, length in zip(counts, lengths, strict=True):
        damping = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * length / mean_length)
        scores.append(
            sum(
                rarity[stem] * number * (_SATURATION + 1) / (number + damping)
                for stem, number in count.items()
            )
        )
    return scores


def _stems(found: Sequence[str]) -> list[str]:
    return [_stem(word) if word.isalpha() else word for word in found]


def _stem(word: str) -> str:
    """The word without the "s" of a plural, and no longer than a stem."""
    if len(word) > _LONGEST_SINGULAR and word[-1] == "s" != word[-2]:
        word = word[:-1]
    return word[:_STEM_CHARACTERS]
