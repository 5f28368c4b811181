"""The text of a Pack folded for searching: white space, quotes, dashes and marks aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Codes = np.ndarray[tuple[int], np.dtype[np.uint32]]
    Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
    Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
    Offsets = np.ndarray[tuple[int], np.dtype[np.int64]]


class Run(NamedTuple):
    """A stretch of a Pack's text and where it begins in the Document of its part."""

    start: int
    end: int
    part: int
    offset: int


class Match(NamedTuple):
    """A half-open range of folded text."""

    start: int
    end: int


# Not in any Document: text that holds a NUL is binary and never read.
BREAK = "\0"
_FOLDS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u1680\u180e\u3000\u00a0\u202f\u205f\t\n\v\f\r\x85\u2028\u2029", " "),
        **{chr(code): " " for code in range(0x2000, 0x200B)},
        # Noncharacters stand in where one character is folded to several, or to none.
        **dict.fromkeys("\u2014\u2015", "\ufdd0"),
        "\u2026": "\ufdd1",
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "\ufdd2"),
    }
)
_EXPANSIONS = {0xFDD0: "--", 0xFDD1: "..."}
_DROPPED = 0xFDD2
_GRAM = 6
_GRAM_STEP = 2
_MAX_OCCURRENCES = 256
_MULTIPLIER = 0x9E3779B97F4A7C15


class Searchable:
    """Folded text with the offset of each of its characters in the text it was folded from.

    Documents, and stretches of one with a gap between them, are parted by NUL.
    """

    def __init__(self, text: str, runs: Sequence[Run]) -> None:
        """Fold the characters of `text` that lie in `runs`."""
        import numpy as np

        pieces: list[str] = []
        origins: list[Offsets] = []
        previous: Run | None = None
        for run in runs:
            if previous is not None and not _contiguous(previous, run):
                pieces.append(BREAK)
                origins.append(np.array([previous.end], dtype=np.int64))
            pieces.append(text[run.start : run.end])
            origins.append(np.arange(run.start, run.end, dtype=np.int64))
            previous = run
        offsets = np.concatenate(origins) if origins else np.zeros(0, dtype=np.int64)
        codes, kept = _fold("".join(pieces))
        self.text = codes.tobytes().decode("utf-32-le", "surrogatepass")
        self.offsets: Offsets = offsets[kept]

    def folded_range(self, start: int, end: int) -> Match:
        """The folded range that stands for the characters from `start` to before `end`."""
        first, last = self.offsets.searchsorted([start, end])
        return Match(int(first), int(last))

    def origin(self, match: Match) -> tuple[int, int]:
        """The half-open range of the original text behind a folded one."""
        assert match.start < match.end, "an empty match has no origin"
        return int(self.offsets[match.start]), int(self.offsets[match.end - 1]) + 1

    @cached_property
    def lowered(self) -> str:
        """The folded text with ASCII capitals made small, character for character."""
        return lower_ascii(self.text)

    @cached_property
    def _grams(self) -> tuple[Hashes, Offsets]:
        """The hashes of the grams at every second character in order, and where each stands."""
        import numpy as np

        hashes = _hashes(self.lowered)[::_GRAM_STEP]
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order * _GRAM_STEP

    def similar(self, lowered: str, area: Match, *, most: int) -> list[int]:
        """Where text like `lowered` may begin, most grams in common first, `most` places or less.

        A place is exact to an eighth of the length of `lowered`.
        """
        hashes, places = self._grams
        wanted = _hashes(lowered)
        firsts, lasts = hashes.searchsorted(wanted), hashes.searchsorted(wanted, side="right")
        bucket = max(16, len(lowered) // 8)
        votes: Counter[int] = Counter()
        for offset, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
            # A gram that stands everywhere tells no place.
            if last - first <= _MAX_OCCURRENCES:
                for place in places[first:last].tolist():
                    if area.start <= place < area.end:
                        votes[(place - offset) // bucket] += 1
        return [index * bucket for index, _ in votes.most_common(most)]


def fold(text: str) -> str:
    """The text as `Searchable` folds it, without white space at its ends."""
    codes, _ = _fold(text)
    return codes.tobytes().decode("utf-32-le", "surrogatepass").strip(" ")


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def _hashes(text: str) -> Hashes:
    """A rolling hash of every `_GRAM` characters of the text (Karp and Rabin 1987)."""
    import numpy as np

    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    num_grams = max(0, len(codes) - _GRAM + 1)
    hashes = np.zeros(num_grams, dtype=np.uint64)
    for offset in range(_GRAM):
        hashes = hashes * np.uint64(_MULTIPLIER) + codes[offset : offset + num_grams]
    return hashes


def lower_ascii(text: str) -> str:
    """The text with ASCII capitals made small; it keeps its length."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def is_cjk(code: int) -> bool:
    """Whether the code point belongs to a script written without spaces between words."""
    return 0x3000 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0xFF00 <= code <= 0xFFEF


def _contiguous(before: Run, after: Run) -> bool:
    length = before.end - before.start
    return before.part == after.part and before.offset + length == after.offset


def _fold(text: str) -> tuple[Codes, Offsets]:
    """The folded code points, and for each the index of its character in `text`."""
    import numpy as np

    folded = text.translate(_FOLDS)
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    index = np.flatnonzero(codes != _DROPPED)
    codes = codes[index]
    space = codes == 0x20
    keep = np.ones(len(codes), dtype=bool)
    keep[1:] = ~(space[1:] & space[:-1])
    codes, index = codes[keep], index[keep]
    # White space tells words apart and nothing else: "f( x )" is "f(x)", and lines of Chinese or
    # Japanese break anywhere.
    word = _is_word(codes)
    keep = codes != 0x20
    keep[1:-1] |= word[:-2] & word[2:]
    codes, index = codes[keep], index[keep]
    if not text.isascii():
        for stand_in, expansion in _EXPANSIONS.items():
            width = np.where(codes == stand_in, len(expansion), 1)
            codes, index = np.repeat(codes, width), np.repeat(index, width)
            codes = np.where(codes == stand_in, ord(expansion[0]), codes)
    return codes.astype(np.uint32), index.astype(np.int64)


def _is_word(codes: Codes) -> Flags:
    """Which code points belong to words that are written with spaces between them."""
    import numpy as np

    ascii_word = (
        ((codes >= ord("0")) & (codes <= ord("9")))
        | ((codes | 0x20) >= ord("a")) & ((codes | 0x20) <= ord("z"))
        | (codes == ord("_"))
    )
    foreign = (codes >= 0xAA) & ((codes < 0x2E80) | (codes > 0xFFEF))
    return np.asarray(ascii_word | foreign | ((codes >= 0xA000) & (codes <= 0xF8FF)))
