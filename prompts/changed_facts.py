"""Numbers, dates and amounts that stand in one of two texts only: computed, not asked."""

from __future__ import annotations

from collections import Counter

from longctx.ingest.figures import figures


def facts(text: str) -> Counter[str]:
    """The numbers, dates, durations and amounts in a text, white space made even.

    The numbers of clauses are not among them.
    """
    return Counter(" ".join(figure.text.split()) for figure in figures(text))


def changed_facts(left: str, right: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The facts that stand in the left text only, and those that stand in the right one only."""
    in_left, in_right = facts(left), facts(right)
    return tuple((in_left - in_right).keys()), tuple((in_right - in_left).keys())
