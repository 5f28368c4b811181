"""From a quote in an answer to its place: searched by code in the packed text, never believed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from longctx.ingest.document import UNITS
from longctx.prompts.pack import Pack
from longctx.prompts.question import Citation
from longctx.prompts.searchable import BREAK, Match, Searchable, fold, is_cjk, lower_ascii

# Shorter quotes stand in a long text by chance. A Chinese character counts as three letters.
MIN_CHARACTERS = 12
MIN_SIMILARITY = 85.0
# How much of the original an ellipsis may stand for, in characters.
MAX_GAP = 600

_MARK = re.compile(rf"\[(?:{'|'.join(UNITS)})s? \d+(?:-\d+)?(?: left out)?\]")
_DOTS = r"(?:\[ ?\.{3} ?\]|\( ?\.{3} ?\)|\.{3,})"
_ELLIPSIS = re.compile(rf" ?{_DOTS} ?")
_OUTER_ELLIPSES = re.compile(rf"^{_DOTS} ?| ?{_DOTS}$")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nor|neither|without|unless|except|cannot)\b|n't\b|[不没沒非未無无]",
    re.I,
)
_QUOTE_MARKS = " \"'`"
_MAX_OCCURRENCES = 64
_MAX_CANDIDATES = 6
_MIN_SHARED = 4


def locate(quote: str, pack: Pack, *, prefer: str | None = None) -> Citation:
    """The Citation of `quote`: verified, repaired or unverified, with the Span where it stands.

    White space, the Pack's own marks and the shape of quotes and dashes do not matter; every other
    character does. The Document named `prefer` is searched first.
    """
    quote = quote.replace(BREAK, " ")
    wanted = fold(_MARK.sub(" ", quote)).strip(_QUOTE_MARKS)
    bare = _OUTER_ELLIPSES.sub("", wanted)
    areas = [*_preferred(pack, prefer), Match(0, len(pack.searchable.text))]
    for candidate in dict.fromkeys((fold(quote).strip(_QUOTE_MARKS), wanted, bare)):
        for area in areas:
            match = _exact(candidate, pack.searchable, area)
            if match is not None and _proves(candidate, match, area, pack):
                return _citation("verified", quote, match, pack)
    if _weight(bare) < MIN_CHARACTERS:
        return Citation(quote, "unverified")
    pieces = [piece for piece in _ELLIPSIS.split(bare) if piece]
    for area in areas:
        if len(pieces) > 1:
            match = _in_order(pieces, pack.searchable, area)
        else:
            match = _nearest(bare, pack.searchable, area)
        if match is not None:
            return _citation("repaired", quote, match, pack)
    return Citation(quote, "unverified")


def _citation(state: str, quote: str, match: Match, pack: Pack) -> Citation:
    """A Citation with its Span; a repaired one carries the text that stands there."""
    found = pack.segment(*pack.searchable.origin(match))
    assert found is not None, "a match lies within one Document"
    return Citation(
        " ".join(found.text.split()) if state == "repaired" else quote, state, found.span
    )


def _preferred(pack: Pack, name: str | None) -> Iterator[Match]:
    for part in pack.parts:
        if part.document.name == name:
            yield pack.searchable.folded_range(part.start, part.end)


def _exact(quote: str, text: Searchable, area: Match) -> Match | None:
    """The first place where the quote stands with whole words at both ends."""
    start = text.text.find(quote, area.start, area.end) if quote else -1
    while start >= 0:
        match = Match(start, start + len(quote))
        if _between_words(text.text, match.start) and _between_words(text.text, match.end):
            return match
        start = text.text.find(quote, start + 1, area.end)
    return None


def _between_words(text: str, index: int) -> bool:
    if not 0 < index < len(text):
        return True
    before, after = text[index - 1], text[index]
    if is_cjk(ord(before)) or is_cjk(ord(after)):
        return True
    return not (_in_word(before) and _in_word(after))


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _proves(quote: str, match: Match, area: Match, pack: Pack) -> bool:
    """Whether the quote is long enough to mean this place, or is a line that stands only here."""
    if _weight(quote) >= MIN_CHARACTERS:
        return True
    if pack.searchable.text.find(quote, match.start + 1, area.end) >= 0:
        return False
    start, end = pack.searchable.origin(match)
    line_end = pack.text.find("\n", end)
    around = pack.text[pack.text.rfind("\n", 0, start) + 1 : start] + pack.text[end:line_end]
    return not around.strip()


def _weight(quote: str) -> int:
    """The length of the quote in letters and signs, without spaces."""
    return sum(3 if is_cjk(ord(character)) else character != " " for character in quote)


def _in_order(pieces: list[str], text: Searchable, area: Match) -> Match | None:
    """The text from the first piece to the last, in order, near, and with no negation between."""
    longest = max(pieces, key=len)
    if _weight(longest) < MIN_CHARACTERS:
        return None
    start = text.text.find(longest, area.start, area.end)
    for _ in range(_MAX_OCCURRENCES):
        if start < 0:
            break
        match = _around(pieces, pieces.index(longest), start, text.text)
        if match is not None:
            return match
        start = text.text.find(longest, start + 1, area.end)
    return None


def _around(pieces: list[str], index: int, start: int, text: str) -> Match | None:
    """The range from the first piece to the last, with piece `index` at `start`."""
    end = start + len(pieces[index])
    for piece in reversed(pieces[:index]):
        found = text.rfind(piece, max(0, start - MAX_GAP - len(piece)), start)
        if found < 0 or not _harmless(text[found + len(piece) : start]):
            return None
        start = found
    for piece in pieces[index + 1 :]:
        found = text.find(piece, end, end + MAX_GAP + len(piece))
        if found < 0 or not _harmless(text[end:found]):
            return None
        end = found + len(piece)
    return _whole_words(text, Match(start, end))


def _harmless(gap: str) -> bool:
    return BREAK not in gap and _NEGATION.search(gap) is None


def _nearest(quote: str, text: Searchable, area: Match) -> Match | None:
    """The range most like the quote, at least `MIN_SIMILARITY` percent alike."""
    from rapidfuzz.fuzz import partial_ratio_alignment

    wanted, best, best_score = lower_ascii(quote), None, MIN_SIMILARITY
    margin = 20 + len(wanted) // 4
    for start in text.similar(wanted, area, most=_MAX_CANDIDATES):
        low, high = max(area.start, start - margin), min(area.end, start + len(wanted) + margin)
        middle = min(max(low, start + len(wanted) // 2), high)
        low = max(low, text.text.rfind(BREAK, low, middle) + 1)
        end = text.text.find(BREAK, middle, high)
        high = high if end < 0 else end
        # Against a shorter window the window itself would be sought in the quote.
        if (high - low) * 100 < len(wanted) * MIN_SIMILARITY:
            continue
        found = partial_ratio_alignment(wanted, text.lowered[low:high], score_cutoff=best_score)
        if found is not None and (best is None or found.score > best_score):
            aligned = Match(low + found.dest_start, low + found.dest_end)
            best, best_score = _fitted(wanted, text.lowered, Match(low, high), aligned), found.score
    return best and _whole_words(text.text, best)


def _fitted(wanted: str, text: str, window: Match, aligned: Match) -> Match:
    """The range of `window` most like `wanted`, near the range that is aligned with it.

    An aligned range is as long as the quote; the original may be longer or shorter than that.
    """
    from rapidfuzz.distance import Indel
    from rapidfuzz.fuzz import ratio

    starts, ends = [aligned.start], [aligned.end]
    for block in Indel.opcodes(wanted, text[window.start : window.end]):
        if block.tag == "equal" and block.src_end - block.src_start >= _MIN_SHARED:
            # Where the quote begins and ends if all of it stands around this common stretch, and
            # where the stretch does: it may be the first or the last that the two have in common.
            start, end = window.start + block.dest_start, window.start + block.dest_end
            starts += [start, max(window.start, start - block.src_start)]
            ends += [end, min(window.end, end + len(wanted) - block.src_end)]
    first = max(starts, key=lambda start: ratio(wanted, text[start : aligned.end]))
    last = max(ends, key=lambda end: ratio(wanted, text[first:end]))
    return Match(first, last) if first < last else aligned


def _whole_words(text: str, match: Match) -> Match:
    """The range widened to the words it cuts, without spaces at its ends."""
    start, end = match
    while not _between_words(text, start):
        start -= 1
    while not _between_words(text, end):
        end += 1
    while text[start] == " ":
        start += 1
    while text[end - 1] == " ":
        end -= 1
    return Match(start, end)
