"""Which Segment of one text answers to which of another, and which stand alone."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

from longctx.ingest.document import Segment
from longctx.ingest.words import words

if TYPE_CHECKING:
    import numpy as np

    # [L, R], a score for each left and right Segment.
    Scores = np.ndarray[tuple[int, int], np.dtype[np.float32]]

Kind = Literal["same", "changed", "added", "removed"]

# Found on pairs of licences: clauses that share a subject score above it, others below.
MIN_SCORE = 0.2
MIN_SCORE_BETWEEN = 0.1
_HEADING_WEIGHT = 0.3
_ORDER_WEIGHT = 0.1
# Below this two headings have only common words, or letters, in common.
_MIN_HEADING = 0.7
_NUMBERING = re.compile(r"^(?:(?:section|article|chapter|clause|§)\s*)?[\d.()]*\s*", re.I)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two Segments that answer to each other, or one that stands alone.

    `similarity` is the cosine of the two texts' word and word-pair vectors, 0 to 1.
    """

    left: Segment | None
    right: Segment | None
    similarity: float
    kind: Kind


def align(left: Sequence[Segment], right: Sequence[Segment]) -> tuple[Pair, ...]:
    """The Pairs of all Segments, each in exactly one, in the order of the left text.

    Segments are matched by their words (tf-idf cosine, Salton and Buckley 1988) and headings,
    best first, wherever they stand; a Segment that only the right text has follows the Pair of the
    one before it.
    """
    matched: dict[int, int] = {}
    similarity: Scores | None = None
    if left and right:
        similarity = _similarity(left, right)
        matched = _matched(similarity, _bonus(left, right))
    followers = _followers(matched, len(right))
    pairs = [Pair(None, right[index], 0.0, "added") for index in followers[-1]]
    for index, segment in enumerate(left):
        partner = matched.get(index)
        if partner is None or similarity is None:
            pairs.append(Pair(segment, None, 0.0, "removed"))
            continue
        same = segment.text.split() == right[partner].text.split()
        score = 1.0 if same else min(1.0, float(similarity[index, partner]))
        pairs.append(Pair(segment, right[partner], score, "same" if same else "changed"))
        pairs += (Pair(None, right[index], 0.0, "added") for index in followers[partner])
    return tuple(pairs)


def _similarity(left: Sequence[Segment], right: Sequence[Segment]) -> Scores:
    """The cosine of every left with every right Segment, of shape [L, R]."""
    import numpy as np

    counts = [Counter(_features(segment.text)) for segment in (*left, *right)]
    spread = Counter(feature for count in counts for feature in count)
    places: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for index, count in enumerate(counts):
        weights = {
            feature: (1 + math.log(number)) * math.log((1 + len(counts)) / spread[feature])
            for feature, number in count.items()
        }
        norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        for feature, weight in weights.items():
            if spread[feature] > 1:
                places[feature].append((index, weight / norm))
    scores = np.zeros((len(left), len(right)), dtype=np.float32)
    for found in places.values():
        split = next((at for at, (index, _) in enumerate(found) if index >= len(left)), None)
        if split:
            rows, row_weights = zip(*found[:split], strict=True)
            columns, column_weights = zip(*found[split:], strict=True)
            block = np.outer(row_weights, column_weights)
            scores[np.ix_(rows, [column - len(left) for column in columns])] += block
    return scores


def _features(text: str) -> Iterable[str]:
    found = words(text)
    return (*found, *map(" ".join, pairwise(found)))


def _bonus(left: Sequence[Segment], right: Sequence[Segment]) -> Scores:
    """What like headings and like places add to a score, of shape [L, R]."""
    import numpy as np
    from rapidfuzz import fuzz, process

    titles = [[_title(segment) for segment in side] for side in (left, right)]
    alike = process.cdist(*titles, scorer=fuzz.token_sort_ratio) / 100
    alike[alike < _MIN_HEADING] = 0
    alike[[not title for title in titles[0]]] = 0
    places = [(np.arange(len(side)) + 0.5) / len(side) for side in (left, right)]
    apart = np.abs(places[0][:, None] - places[1][None, :])
    bonus = _HEADING_WEIGHT * alike + _ORDER_WEIGHT * (1 - apart)
    return bonus.astype(np.float32)


def _title(segment: Segment) -> str:
    return _NUMBERING.sub("", segment.heading).lower()


def _matched(similarity: Scores, bonus: Scores) -> dict[int, int]:
    """For left Segments the right one matched: the best pair first, then the best of the rest.

    What is then left over between the same two matched neighbours needs less to match.
    """
    import numpy as np

    scores = similarity + bonus
    matched = _best_first(scores, MIN_SCORE, {})
    num_left, num_right = scores.shape
    before = {right: left for left, right in matched.items()}
    left_gaps = _gaps([matched.get(index) for index in range(num_left)])
    right_gaps = _gaps([index if index in before else None for index in range(num_right)])
    scores[np.not_equal.outer(left_gaps, right_gaps)] = 0
    return _best_first(scores, MIN_SCORE_BETWEEN, matched)


def _best_first(scores: Scores, least: float, matched: dict[int, int]) -> dict[int, int]:
    """The pairs in `matched` and those of the rest that score `least` or more, best first."""
    import numpy as np

    rows, columns = np.nonzero(scores >= least + _ORDER_WEIGHT)
    order = np.argsort(-scores[rows, columns], kind="stable")
    matched = dict(matched)
    taken = set(matched.values())
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return matched


def _gaps(anchors: Sequence[int | None]) -> list[int]:
    """For each place the last anchor before it, -1 for none."""
    return list(accumulate(anchors, lambda last, new: last if new is None else new, initial=-1))[1:]


def _followers(matched: dict[int, int], num_right: int) -> dict[int, list[int]]:
    """The unmatched right Segments by the matched one before them, -1 for those before all."""
    taken = set(matched.values())
    followers: dict[int, list[int]] = {-1: []}
    last = -1
    for index in range(num_right):
        if index in taken:
            last = index
            followers[last] = []
        else:
            followers[last].append(index)
    return followers
