"""From a quote in an answer to its place: searched by code in the packed text, never believed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from longctx.prompts.pack import Pack
from longctx.prompts.question import Citation
from longctx.prompts.searchable import BREAK, Match, Searchable, fold, is_cjk, lower_ascii

# Shorter quotes stand in a long text by chance. A Chinese character counts as three letters.
MIN_CHARACTERS = 12
MIN_SIMILARITY = 85.0
# How much of the original an ellipsis may stand for, in characters.
MAX_GAP = 600

_MARK = re.compile(r"\[(?:line|page|lines|pages) \d+(?:-\d+)?(?: left out)?\]")
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
        middle = min(max(area.start, start + len(wanted) // 2), area.end - 1)
        low = max(
            area.start, start - margin, text.text.rfind(BREAK, max(0, start - margin), middle) + 1
        )
        high = min(area.end, start + len(wanted) + margin)
        high = text.text.find(BREAK, low, high) if BREAK in text.text[low:high] else high
        # Against a shorter window the window itself would be sought in the quote.
        if (high - low) * 100 < len(wanted) * MIN_SIMILARITY:
            continue
        found = partial_ratio_alignment(wanted, text.lowered[low:high], score_cutoff=best_score)
        if found is not None and (best is None or found.score > best_score):
            best, best_score = Match(low, high), found.score
    return best and _whole_words(text.text, _shared(wanted, text.lowered, best))


def _shared(wanted: str, text: str, area: Match) -> Match:
    """The range of `area` from the first stretch that it has in common with `wanted` to the last.

    An alignment window is as long as the quote; the original may be longer or shorter than that.
    """
    from rapidfuzz.distance import Indel

    blocks = [
        block
        for block in Indel.opcodes(wanted, text[area.start : area.end])
        if block.tag == "equal" and block.src_end - block.src_start >= _MIN_SHARED
    ]
    return Match(area.start + blocks[0].dest_start, area.start + blocks[-1].dest_end)


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
