"""What sparse attention costs in answers: paired differences to dense, with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

DRAWS = 2_000


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the mean (Efron 1979), the same on every call."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (DRAWS, len(values)))
    low, high = np.quantile(drawn.mean(1), [0.025, 0.975])
    return float(low), float(high)


def compare(
    dense: Sequence[dict[str, Any]], mode: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Returns a row for every task and for all of them: both means, the paired difference.

    Both hold the same Cases in the same order. Scores are shares of what was expected.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for one, other in zip(dense, mode, strict=True):
        for theirs, ours in zip(one["answers"], other["answers"], strict=True):
            assert theirs["question"] == ours["question"], "the questions are not the same"
            for task in (theirs["task"], "all"):
                pairs.setdefault(task, []).append((theirs["score"], ours["score"]))
    rows = []
    for task, scores in sorted(pairs.items(), key=lambda pair: (pair[0] == "all", pair[0])):
        differences = [ours - theirs for theirs, ours in scores]
        low, high = interval(differences)
        rows.append(
            {
                "task": task,
                "questions": len(scores),
                "dense": statistics.fmean(theirs for theirs, _ in scores),
                "score": statistics.fmean(ours for _, ours in scores),
                "difference": statistics.fmean(differences),
                "low": low,
                "high": high,
            }
        )
    return rows


def agreement(dense: Sequence[int], other: Sequence[int]) -> float:
    """Returns the share of a greedy continuation up to the first token that differs."""
    same = 0
    for one, two in zip(dense, other, strict=True):
        if one != two:
            break
        same += 1
    return same / max(1, len(dense))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Returns the median, the mean and the 95th percentile."""
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "p95": float(np.quantile(np.asarray(values), 0.95)),
    }


def summary(
    length: int,
    mode: str,
    dense: Sequence[dict[str, Any]],
    found: Sequence[dict[str, Any]],
    divergence: dict[str, list[float]],
) -> dict[str, Any]:
    """Returns what a mode reached on the Cases of one length."""
    least = [record["recall_least"] for record in found if record["recall_least"] is not None]
    medians = [record["recall_median"] for record in found if record["recall_median"] is not None]
    return {
        "length": length,
        "mode": mode,
        "tasks": compare(dense, found),
        "kl_after": spread(divergence["after"]),
        "kl_inside": spread(divergence["inside"]),
        "greedy_agreement": statistics.fmean(
            agreement(one["greedy"], other["greedy"])
            for one, other in zip(dense, found, strict=True)
        ),
        "recall_least": min(least) if least else None,
        "recall_median": statistics.median(medians) if medians else None,
        "tokens_per_second": sum(record["num_tokens"] for record in found)
        / sum(record["prefill_seconds"] for record in found),
        "dense_tokens_per_second": sum(record["num_tokens"] for record in dense)
        / sum(record["prefill_seconds"] for record in dense),
    }
