"""The clauses of a contract or a law by their full numbers: `8.4`, `1.2(a)(iv)`, `第三条`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_MARK = re.compile(
    r"^[ \t\u3000]*(?:"
    r"(?:(?:section|article|clause|§)[ \t]*)?"
    r"(?P<number>\d{1,3}(?:\.\d{1,3})*)(?:[.)]|(?=[ \t:\n(]))"
    r"|(?P<chinese>第[零〇一二三四五六七八九十百千0-9]{1,7}[条條])(?=[ \t\u3000:：、\n]))"
    r"(?P<rest>(?:[ \t]*\((?:[a-z]{1,5}|[A-Z]|\d{1,2})\))*)"
    r"|^[ \t\u3000]*(?P<inner>(?:\((?:[a-z]{1,5}|[A-Z]|\d{1,2})\)[ \t]*)+|[a-z]\)(?=[ \t]))",
    re.M | re.I,
)
_INNER = re.compile(r"\(?([A-Za-z]{1,5}|\d{1,2})\)")
_ROMAN = re.compile(r"(x{0,3})(ix|iv|v?i{0,3})")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause: its number with those of the clauses around it, and its stretch of the text."""

    label: str
    start: int
    end: int


def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses in order; each ends where the next one, inner or not, begins."""
    found = [*_labels(text), ("", len(text))]
    return tuple(Clause(label, start, end) for (label, start), (_, end) in pairwise(found))


def _labels(text: str) -> Iterator[tuple[str, int]]:
    """Each clause that counts on from what came before, and where its mark stands."""
    last: tuple[int, ...] = ()
    base, inner = "", _Inner()
    for match in _MARK.finditer(text):
        start = match.end() - len(match[0].lstrip())
        marks = _INNER.findall(match["rest"] or match["inner"] or "")
        if match["chinese"]:
            base, inner = match["chinese"], _Inner()
        elif match["number"]:
            number = tuple(map(int, match["number"].split(".")))
            if not _counts_on(last, number):
                continue
            base, inner, last = match["number"], _Inner(), number
        elif not base or not all(map(inner.take, marks)):
            continue
        if not match["inner"] and not all(map(inner.take, marks)):
            inner = _Inner()
        yield base + inner.label, start


def _counts_on(last: tuple[int, ...], number: tuple[int, ...]) -> bool:
    """Whether a number comes right after the last one: deeper, the next, or the next above it."""
    if not last:
        return number[0] <= 1 and all(part <= 1 for part in number)
    if len(number) > len(last):
        return number[: len(last)] == last and all(part <= 1 for part in number[len(last) :])
    shared = number[:-1] == last[: len(number) - 1]
    if shared and number[-1] == last[len(number) - 1] + 1:
        return True
    return any(
        number == (*last[:depth], last[depth] + 1, *[1] * (len(number) - depth - 1))
        for depth in range(min(len(last), len(number)))
    )


class _Inner:
    """The letters and numerals in brackets below a number, told apart by counting on."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int, str]] = []

    @property
    def label(self) -> str:
        """The marks from the outermost to the innermost."""
        return "".join(f"({mark})" for _, _, mark in self._open)

    def take(self, mark: str) -> bool:
        """Whether the mark goes on one of the open lists, or begins a new one inside them."""
        values = dict(_values(mark))
        for depth in range(len(self._open) - 1, -1, -1):
            style, value, _ = self._open[depth]
            if values.get(style) == value + 1:
                self._open[depth:] = [(style, value + 1, mark)]
                return True
        styles = {style for style, _, _ in self._open}
        for style, value in values.items():
            if value == 1 and style not in styles:
                self._open.append((style, 1, mark))
                return True
        return False


def _values(mark: str) -> Iterator[tuple[str, int]]:
    """What a mark may count as: (i) is the first numeral or the ninth letter."""
    if mark.isdigit():
        yield "digit", int(mark)
        return
    case = "upper" if mark.isupper() else "lower"
    roman = _ROMAN.fullmatch(mark.lower())
    if roman is not None:
        tens, ones = roman.groups()
        known = {"": 0, "i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "ix": 9}
        value = known.get(ones, 5 + len(ones) - 1 if ones.startswith("v") else 0)
        yield f"{case} numeral", 10 * len(tens) + value
    if len(mark) == 1:
        yield f"{case} letter", ord(mark.lower()) - ord("a") + 1
