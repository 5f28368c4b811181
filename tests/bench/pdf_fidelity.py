"""How well PDFs are read: books against their own text, papers for glued words and references.

`python -P tests/bench/pdf_fidelity.py CACHE OUT.json` reads the corpora in CACHE (corpora.py).
A book's PDF and its text are compared word by word. Words are runs of letters and digits, each
Chinese character by itself, in lower case and Unicode's compatibility form, from the same heading
to the end of the text's last section. What is left on both sides once the running text is aligned
is aligned again, as long as stretches of five equal words or more are found: they stand elsewhere
by the nature of the formats (footnotes at the foot of the page or the end of a chapter, captions
above or below a table). Shorter ones count only where they stand in order between the stretches
of the running text.

Some things are printed in one of the two only, and are taken out before. In the text, cells of
drawn tables are put together; quotation marks inside a word ("conffile"s), where the PDF has
another font, fall away; and so do titles that it adds to the number of a section, table or chapter
it refers to (第 9.4 节 “…”, 第 4 章…). "Table 1", "Chapter 1" and "Appendix A" of the Chinese PDF
count as 表 1, 第 1 章 and 附录 A, which its text prints.
"""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata
from bisect import bisect_left
from collections import Counter
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

from longctx.ingest.document import Document, Source
from longctx.ingest.read import read

BOOKS = {
    "debian-policy": ("policy.pdf", "policy.txt", "about this manual", "gnu.org/licenses/."),
    "debian-reference-zh-cn": (
        "debian-reference.zh-cn.pdf",
        "debian-reference.zh-cn.txt",
        "免责声明",
        "",
    ),
    "developers-reference": (
        "developers-reference.pdf",
        "developers-reference.txt",
        "scope of this document",
        "",
    ),
}
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_TITLED = re.compile(r"((?:第\s*[\d.]+\s*[节章]|表\s*[\d.]+)\s*)[,，]?\s*“[^”]*”")
_QUOTE_INSIDE = re.compile(r"(?<=\w)\"(?=\w)")
_CHAPTER = re.compile(r"(?m)^第 ?(\d+) ?章[ ，]*(\S.*)$")
_PRINTED = [
    (re.compile(r"\bTable (?=\d)"), "表 "),
    (re.compile(r"(?m)^Chapter (\d+)$"), r"第 \1 章"),
    (re.compile(r"(?m)^Appendix (?=[A-Z]$)"), "附录 "),
]
_NUMBERED = re.compile(r"^\s*(?:(?:chapter|第)?\s*[\d.]+\s*章?|(?:appendix|附录)\s*[a-z]\.)")
_ANCHOR = 5
_LIGATURES = {"ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02", "ffi": "\ufb03", "ffl": "\ufb04"}
Block = tuple[int, int, int]
"""Words that are equal: where they begin on either side, and how many there are."""


def document(path: Path) -> Document:
    found = read(Source(path.name, path=path))
    assert isinstance(found, Document), found
    return found


def words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def matched(first: list[str], second: list[str]) -> list[Block]:
    """Blocks of equal words in order."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(second) - _ANCHOR + 1):
        places.setdefault(tuple(second[place : place + _ANCHOR]), []).append(place)
    once = Counter(tuple(first[p : p + _ANCHOR]) for p in range(len(first) - _ANCHOR + 1))
    pairs = [
        (p, places[gram][0])
        for p in range(len(first) - _ANCHOR + 1)
        if once[gram := tuple(first[p : p + _ANCHOR])] == 1 and len(places.get(gram, ())) == 1
    ]
    blocks: list[Block] = []
    here = there = 0
    for p, q in [*_rising(pairs), (len(first), len(second))]:
        if p >= here and q >= there:
            if p > here and q > there:
                matcher = SequenceMatcher(None, first[here:p], second[there:q], autojunk=False)
                blocks += [
                    (here + b.a, there + b.b, b.size)
                    for b in matcher.get_matching_blocks()
                    if b.size
                ]
            if p < len(first):
                blocks.append((p, q, 1))
            here, there = p + 1, q + 1
    return blocks


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of pairs whose second places rise as their first do."""
    tops: list[int] = []
    chain: list[int] = []
    before: list[int] = [-1] * len(pairs)
    for index, (_, q) in enumerate(pairs):
        place = bisect_left(tops, q)
        before[index] = chain[place - 1] if place else -1
        tops[place : place + 1] = [q]
        chain[place : place + 1] = [index]
    found: list[tuple[int, int]] = []
    index = chain[-1] if chain else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def table_cells(text: str) -> str:
    """The text with the cells of drawn tables one after the other, not line by line across them."""
    out: list[str] = []
    cells: list[list[str]] = []

    def flush() -> None:
        out.extend("".join(cell) if _is_wide(cell) else " ".join(cell) for cell in cells)
        cells.clear()

    for line in text.split("\n"):
        stripped = line.strip()
        if re.fullmatch(r"[|+][-=+|]*[|+]", stripped):
            flush()
        elif len(stripped) > 2 and stripped[0] == stripped[-1] == "|":
            parts = [part.strip() for part in stripped[1:-1].split("|")]
            if len(parts) != len(cells):
                flush()
                cells.extend([] for _ in parts)
            for cell, part in zip(cells, parts, strict=True):
                cell.append(part)
        else:
            flush()
            out.append(line)
    flush()
    return "\n".join(out)


def _is_wide(cell: list[str]) -> bool:
    return any(character > "\u2e80" for part in cell for character in part)


def compare(found: Document, text: Document, first: str, last: str) -> dict[str, object]:
    """How many words of the text stand in what was found, in order or elsewhere, and which do not.

    Both are compared from the heading `first` to the end of `last`, or to their end.
    """
    body = _body(found.text, first, last)
    plain = _QUOTE_INSIDE.sub("", table_cells(_body(text.text, first, last)))
    if re.search(r"第 ?\d", plain):
        plain = _without_titles(plain)
        for pattern, printed in _PRINTED:
            body = pattern.sub(printed, body)
    ours, theirs = words(body), words(plain)
    blocks = _long(matched(theirs, ours))
    lost = _rest(list(range(len(theirs))), [(b[0], b[2]) for b in blocks])
    extra = _rest(list(range(len(ours))), [b[1:] for b in blocks])
    elsewhere = 0
    while moved := _long(matched([theirs[p] for p in lost], [ours[p] for p in extra])):
        elsewhere += sum(block[2] for block in moved)
        lost = _rest(lost, [(block[0], block[2]) for block in moved])
        extra = _rest(extra, [block[1:] for block in moved])
    few = _between(blocks, theirs, ours, lost, extra)
    lost = _rest(lost, [(block[0], block[2]) for block in few])
    extra = _rest(extra, [block[1:] for block in few])
    in_order = sum(block[2] for block in [*blocks, *few])
    return {
        "words of the text": len(theirs),
        "words found": len(ours),
        "equal in order": in_order,
        "equal in order elsewhere": elsewhere,
        "share": round((in_order + elsewhere) / len(theirs), 5),
        "share without what stands elsewhere": round(in_order / len(theirs), 5),
        "missing": Counter(theirs[p] for p in lost).most_common(40),
        "extra": Counter(ours[p] for p in extra).most_common(40),
        "quotes": quotes(found, text),
    }


def _long(blocks: list[Block]) -> list[Block]:
    """Stretches of five equal words or more, blocks joined that follow each other on both sides."""
    runs: list[Block] = []
    for first, second, size in blocks:
        if runs and (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]) == (first, second):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + size)
        else:
            runs.append((first, second, size))
    return [run for run in runs if run[2] >= _ANCHOR]


def _between(
    blocks: list[Block], first: list[str], second: list[str], lost: list[int], extra: list[int]
) -> list[Block]:
    """Equal words that are left at the same place of the order, as blocks of `lost` and `extra`."""
    found: list[Block] = []
    here = there = 0
    for p, q, _ in [*blocks, (len(first), len(second), 0)]:
        to, on = bisect_left(lost, p), bisect_left(extra, q)
        left, right = [first[i] for i in lost[here:to]], [second[i] for i in extra[there:on]]
        matcher = SequenceMatcher(None, left, right, autojunk=False)
        found += [
            (here + block.a, there + block.b, block.size)
            for block in matcher.get_matching_blocks()
            if block.size
        ]
        here, there = to, on
    return found


def _without_titles(text: str) -> str:
    """The text without the titles of sections, tables and chapters where it refers to them."""
    text = _TITLED.sub(r"\1", text)
    for number, title in {match.groups() for match in _CHAPTER.finditer(text)}:
        parts = r"\s*".join(map(re.escape, title.replace(" ", "")))
        text = re.sub(rf"(?<=\S)(第\s*{number}\s*章)\s*{parts}", r"\1", text)
    return text


def _body(text: str, first: str, last: str) -> str:
    """From the last line that is the first heading to the last sentence."""
    start = [m.start() for m in re.finditer(rf"(?im)^[\d. ]*{re.escape(first)}\s*$", text)][-1]
    end = text.rfind(last) + len(last) if last else len(text)
    return text[start:end]


def _rest(items: list[int], taken: list[tuple[int, int]]) -> list[int]:
    """The items without stretches of them, each given by its place and size."""
    gone = {place + step for place, size in taken for step in range(size)}
    return [item for place, item in enumerate(items) if place not in gone]


def quotes(found: Document, text: Document, number: int = 300) -> dict[str, object]:
    """Sentences of the text that are looked for in what was found, and whether at the right place.

    The right place is in the chapter that is called the same.
    """
    levels = Counter(heading.level for heading in found.headings)
    top = min(level for level, times in levels.items() if times > 2)
    there = [(h.start, _name(h.title)) for h in found.headings if h.level == top]
    here = _chapters(text, [name for _, name in there])
    folded, places = _folded(found.text)
    sentences = [
        match
        for match in re.finditer(r"[^\W\d_a-z][^。.|*#\"]{40,300}[.。]\s", text.text)
        if "\n\n" not in match[0].strip() and match.start() > here[0][0]
    ]
    sample = random.Random(1).sample(sentences, min(number, len(sentences)))
    missing, elsewhere, once = [], [], 0
    for match in sample:
        key = _folded(match[0])[0]
        place = folded.find(key)
        if place < 0:
            missing.append(" ".join(match[0].split()))
            continue
        if folded.find(key, place + 1) >= 0:
            continue
        once += 1
        if _chapter(there, places[place]) != _chapter(here, match.start()):
            elsewhere.append(" ".join(match[0].split()))
    return {
        "asked": len(sample),
        "found": len(sample) - len(missing),
        "found once": once,
        "in the right chapter": once - len(elsewhere),
        "not found": missing,
        "elsewhere": elsewhere,
    }


def _chapters(text: Document, names: list[str]) -> list[tuple[int, str]]:
    """Where the chapters of these names begin in the text, and their names, in order.

    From the last on backwards, each begins at the last line with its name before the next one:
    the contents come before, and another chapter may hold a line that is called the same.
    """
    lines = [
        (start, _name(line))
        for start, line in zip(text.line_starts, text.text.split("\n"), strict=False)
    ]
    found: list[tuple[int, str]] = []
    for name in reversed(names):
        before = found[-1][0] if found else len(text.text)
        starts = [start for start, line in lines if line == name and start < before]
        if starts:
            found.append((starts[-1], name))
    return found[::-1]


def _chapter(starts: list[tuple[int, str]], place: int) -> str:
    index = bisect_left(starts, (place + 1, ""))
    return starts[index - 1][1] if index else ""


def _name(title: str) -> str:
    """A title without its number, folded."""
    return _folded(_NUMBERED.sub("", title.lower()))[0]


def _folded(text: str) -> tuple[str, list[int]]:
    """The letters and digits in lower case, and where they stood."""
    kept = [(c.lower(), place) for place, c in enumerate(text) if c.isalnum()]
    return "".join(c for c, _ in kept), [place for c, place in kept for _ in c]


def read_papers(folder: Path) -> dict[str, object]:
    """Glued words, by a list of words built from the papers themselves, and reference sections.

    A word of at least eight small letters may be glued where no other paper has it and it falls
    into two words, of three letters or more, that stand in five papers or more. It is not where its
    letters stand on one line of the page, none farther from the next than a tenth of their height:
    it is printed so. What is left was joined over the end of a line, or is glued.
    """
    papers = {path.name: document(path) for path in sorted(folder.glob("*.pdf"))}
    tokens = {n: re.findall(r"[^\W\d_]+", paper.text) for n, paper in papers.items()}
    holders: Counter[str] = Counter()
    for found in tokens.values():
        holders.update(set(found))
    common = {word for word, papers_with in holders.items() if papers_with >= 5 and len(word) > 2}
    glued = [
        (name, word)
        for name, found in tokens.items()
        for word in found
        if len(word) >= 8 and word.islower() and holders[word] == 1
        if any(word[:cut] in common and word[cut:] in common for cut in range(3, len(word) - 2))
    ]
    unsure = [
        (name, word)
        for (name, word), times in Counter(glued).items()
        for _ in range(max(0, times - _times_printed(folder / name, word)))
    ]
    num_words = sum(map(len, tokens.values()))
    without = [n for n, paper in papers.items() if not _has_references(paper.text)]
    return {
        "papers": len(papers),
        "pages": sum(len(paper.pages) for paper in papers.values()),
        "words": num_words,
        "candidates": [f"{name}: {word}" for name, word in glued],
        "of these, not printed as one word": [f"{name}: {word}" for name, word in unsure],
        "glued per 10,000 at most": round(len(unsure) * 10_000 / num_words, 2),
        "without a references section": without,
        "of these, with the word at all": [
            name
            for name in without
            if re.search(r"references|bibliography|literature", papers[name].text, re.I)
        ],
        "notes": {n: paper.notes for n, paper in papers.items()},
    }


def _times_printed(path: Path, word: str) -> int:
    """How often the letters of a word stand on a page side by side, as those of one word do."""
    import pypdfium2

    parts = re.sub("ffi|ffl|ff|fi|fl", lambda match: f"(?:{match[0]}|{_LIGATURES[match[0]]})", word)
    pattern = re.compile(rf"(?<![^\W\d_]){parts}(?![^\W\d_])")
    times = 0
    with pypdfium2.PdfDocument(path) as pdf:
        for page in pdf:
            textpage = page.get_textpage()
            text = textpage.get_text_range()
            exact = len(text) == textpage.count_chars()
            for match in pattern.finditer(text):
                boxes = [textpage.get_charbox(n, loose=True) for n in range(*match.span())]
                heights = [top - bottom for _, bottom, _, top in boxes]
                spaces = [after[0] - before[2] for before, after in pairwise(boxes)]
                times += exact and max(spaces) < 0.1 * max(heights)
    return times


def _has_references(text: str) -> bool:
    from longctx.ingest.paper import references_start

    return references_start(text) is not None


def main(arguments: list[str]) -> int:
    cache, out = map(Path, arguments)
    result: dict[str, object] = {}
    for name, names in BOOKS.items():
        pdf_name, text_name, first, last = names
        pdf, text = document(cache / name / pdf_name), document(cache / name / text_name)
        result[name] = compare(pdf, text, first, last)
    result["papers"] = read_papers(cache / "papers")
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
