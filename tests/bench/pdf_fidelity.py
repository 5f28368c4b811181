"""How well PDFs are read: books against their own text, papers for glued words and references.

`python -P tests/bench/pdf_fidelity.py CACHE OUT.json` reads the corpora in CACHE (corpora.py).
A book's PDF and its text are compared word by word. Words are runs of letters and digits, each
Chinese character by itself, in lower case and Unicode's compatibility form, from the same heading
to the end of the text's last section. What is left on both sides once the running text is aligned
is aligned again until less than five words are: it is what stands elsewhere by the nature of the
formats (footnotes at the foot of the page or the end of a chapter, captions above or below a
table). In the text, cells of drawn tables are put together first, and the title that it adds to the
number of a section or table it refers to ("第 9.4 节 “…”"), which the PDF does not print, is taken
out. The Chinese PDF's "Table" and "Chapter" count as 表 and 章, which its text prints.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
import unicodedata
from bisect import bisect_left
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

from longctx.ingest.document import Document, Source
from longctx.ingest.read import read

BOOKS = {
    "debian-policy": ("policy.pdf", "policy.txt", "about this manual", "gnu.org/licenses/."),
    "debian-reference-zh-cn": (
        "debian-reference.zh-cn.pdf",
        "debian-reference.zh-cn.txt",
        "序言",
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
_ANCHOR = 5


def document(path: Path) -> Document:
    found = read(Source(path.name, path=path))
    assert isinstance(found, Document), found
    return found


def words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def matched(first: list[str], second: list[str]) -> list[tuple[int, int, int]]:
    """Blocks of equal words in order: (place in first, place in second, length)."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(second) - _ANCHOR + 1):
        places.setdefault(tuple(second[place : place + _ANCHOR]), []).append(place)
    once = Counter(tuple(first[p : p + _ANCHOR]) for p in range(len(first) - _ANCHOR + 1))
    pairs = [
        (p, places[gram][0])
        for p in range(len(first) - _ANCHOR + 1)
        if once[gram := tuple(first[p : p + _ANCHOR])] == 1 and len(places.get(gram, ())) == 1
    ]
    blocks: list[tuple[int, int, int]] = []
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
    body, plain = _body(found.text, first, last), _body(text.text, first, last)
    plain = _TITLED.sub(r"\1", table_cells(plain))
    same = {"table": "表", "chapter": "章"} if "表" in plain else {}
    ours, theirs = [same.get(word, word) for word in words(body)], words(plain)
    blocks = matched(theirs, ours)
    rest_theirs, rest_ours = _without(theirs, ours, blocks)
    moved = matched(rest_theirs, rest_ours)
    in_order, elsewhere = sum(b[2] for b in blocks), sum(b[2] for b in moved)
    lost, extra = _without(rest_theirs, rest_ours, moved)
    return {
        "words of the text": len(theirs),
        "words found": len(ours),
        "equal in order": in_order,
        "equal in order elsewhere": elsewhere,
        "share": round((in_order + elsewhere) / len(theirs), 5),
        "share without what stands elsewhere": round(in_order / len(theirs), 5),
        "missing": Counter(lost).most_common(40),
        "extra": Counter(extra).most_common(40),
        "quotes": quotes(found, text),
    }


def _body(text: str, first: str, last: str) -> str:
    """From the last line that is the first heading to the last sentence."""
    start = [m.start() for m in re.finditer(rf"(?im)^[\d. ]*{re.escape(first)}\s*$", text)][-1]
    end = text.rfind(last) + len(last) if last else len(text)
    return text[start:end]


def _without(
    first: list[str], second: list[str], blocks: list[tuple[int, int, int]]
) -> tuple[list[str], list[str]]:
    return _rest(first, [b[::2] for b in blocks]), _rest(second, [b[1:] for b in blocks])


def _rest(items: list[str], taken: list[tuple[int, ...]]) -> list[str]:
    gone = {place + step for place, size in taken for step in range(size)}
    return [item for place, item in enumerate(items) if place not in gone]


def quotes(pdf: Document, text: Document, number: int = 300) -> dict[str, object]:
    """Sentences of the text that are looked for in the PDF: found, and at the right place.

    The right place is in the chapter that is called the same.
    """
    top = min(level for level, times in Counter(h.level for h in pdf.headings).items() if times > 2)
    there = [(h.start, _name(h.title)) for h in pdf.headings if h.level == top]
    names = {name for _, name in there}
    lines = zip(text.line_starts, text.text.split("\n"), strict=False)
    # The last line with a chapter's name is its heading: the contents come before.
    last = {name: start for start, line in lines if (name := _name(line)) in names}
    here = sorted((start, name) for name, start in last.items())
    folded, places = _folded(pdf.text)
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


def _chapter(starts: list[tuple[int, str]], place: int) -> str:
    index = bisect_left(starts, (place + 1, ""))
    return starts[index - 1][1] if index else ""


def _name(title: str) -> str:
    """A title without its number, folded."""
    return _folded(re.sub(r"^\s*(?:chapter|第)?\s*[\d.]+\s*(?:章)?", "", title.lower()))[0]


def _folded(text: str) -> tuple[str, list[int]]:
    """The letters and digits in lower case, and where they stood."""
    kept = [(c.lower(), place) for place, c in enumerate(text) if c.isalnum()]
    return "".join(c for c, _ in kept), [place for c, place in kept for _ in c]


def read_papers(folder: Path) -> dict[str, object]:
    """Glued words, by a list of words built from the papers themselves, and reference sections.

    A word of at least eight small letters is glued where no other paper has it and it falls into
    two words, of three letters or more, that stand in five papers or more.
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
    num_words = sum(map(len, tokens.values()))
    without = [n for n, paper in papers.items() if not _has_references(paper.text)]
    return {
        "papers": len(papers),
        "pages": sum(len(paper.pages) for paper in papers.values()),
        "words": num_words,
        "candidates": [f"{name}: {word}" for name, word in glued],
        "glued per 10,000 at most": round(len(glued) * 10_000 / num_words, 2),
        "without a references section": without,
        "notes": {n: paper.notes for n, paper in papers.items()},
    }


def _has_references(text: str) -> bool:
    from longctx.ingest.paper import references_start

    return references_start(text) is not None


def main(arguments: list[str]) -> int:
    cache, out = map(Path, arguments)
    result: dict[str, object] = {}
    for name, names in BOOKS.items():
        started = time.process_time()
        result[name] = compare_book(cache / name, names)
        print(name, f"{time.process_time() - started:.1f} s", file=sys.stderr, flush=True)
    result["papers"] = read_papers(cache / "papers")
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
