"""How fast formats are read, and how well one book agrees with itself in several of them.

`python tests/bench/formats.py CACHE OUT.json` reads the corpora in CACHE (corpora.py). Times are
CPU seconds of one process, medians of five with the least beside them: 1,000 pages of PDF (Debian
Policy, the Developer's Reference and papers behind each other), Debian Policy as PDF, EPUB and
DOCX, a novel of the size of Moby-Dick as EPUB (1.2 million characters of Austen, a chapter a file),
and the import and call graphs of Django. Our PDF reader asks pdfium for the boxes of the first and
last character of each word; beside it stand pdfium's plain text alone, and the other design: its
own rectangles and the text in each. Debian Policy in each format is then held against its text,
words equal in order and quotes, as pdf_fidelity.py says.
"""

from __future__ import annotations

import html
import io
import json
import re
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pdf_fidelity import BOOKS, compare, document

from longctx.ingest.call_graph import call_graph
from longctx.ingest.code_structure import code_file
from longctx.ingest.document import Document, Source
from longctx.ingest.import_graph import import_graph
from longctx.ingest.read import read, read_all
from longctx.ingest.walk import walk

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

_PAGES = 1_000
_CHARACTERS = 1_200_000
_RUNS = 5
_CONTAINER = (
    '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
    "</container>"
)


def many_pages(cache: Path) -> bytes:
    """A PDF of 1,000 pages, put together from manuals and papers."""
    import pypdfium2

    manuals = [
        cache / "debian-policy/policy.pdf",
        cache / "developers-reference/developers-reference.pdf",
    ]
    joined = pypdfium2.PdfDocument.new()
    for path in [*manuals, *sorted((cache / "papers").glob("*.pdf"))]:
        part = pypdfium2.PdfDocument(path)
        joined.import_pages(part, list(range(min(len(part), _PAGES - len(joined)))))
        if len(joined) == _PAGES:
            break
    data = io.BytesIO()
    joined.save(data)
    return data.getvalue()


def novel(cache: Path) -> bytes:
    """An EPUB of 1.2 million characters: *Emma* and as much of *Mansfield Park* as fits."""
    text = "".join(
        (cache / "austen" / f"{name}.txt").read_text(encoding="utf-8")
        for name in ("emma", "mansfield-park")
    )
    chapters = re.split(r"\n(?=CHAPTER )", text[:_CHARACTERS])
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", _CONTAINER)
        items = "".join(
            f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>'
            for n in range(len(chapters))
        )
        refs = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
        book.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/>'
            f"<manifest>{items}</manifest><spine>{refs}</spine></package>",
        )
        for number, chapter in enumerate(chapters):
            head, *paragraphs = re.split(r"\n\s*\n", chapter.strip())
            body = "".join(f"<p>{html.escape(text, quote=False)}</p>\n" for text in paragraphs)
            book.writestr(
                f"c{number}.xhtml",
                '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>'
                f"<h2>{html.escape(head)}</h2>\n{body}</body></html>",
            )
    return data.getvalue()


def timed(name: str, data: bytes) -> dict[str, object]:
    """How long the data of a file takes to read, what comes of it, and each of the times."""
    seconds = []
    for _ in range(_RUNS):
        started = time.process_time()
        found = read(Source(name, data=data))
        seconds.append(round(time.process_time() - started, 3))
    assert isinstance(found, Document), found
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "runs": seconds,
        "pages": len(found.pages),
        "characters": len(found.text),
    }


def pdfium_alone(data: bytes) -> dict[str, object]:
    """How long pdfium takes to give the plain text of a PDF, page by page."""
    return pdfium_timed(data, lambda textpage: textpage.get_text_range())


def pdfium_rectangles(data: bytes) -> dict[str, object]:
    """How long pdfium takes to give its rectangles of text, and the text in each."""

    def look(textpage: PdfTextPage) -> None:
        for number in range(textpage.count_rects()):
            textpage.get_text_bounded(*textpage.get_rect(number))

    return pdfium_timed(data, look)


def pdfium_timed(data: bytes, look: Callable[[PdfTextPage], object]) -> dict[str, object]:
    """How long pdfium takes to open the pages of a PDF, with a look at the text of each."""
    import pypdfium2

    seconds = []
    for _ in range(_RUNS):
        started = time.process_time()
        pdf = pypdfium2.PdfDocument(data)
        for number in range(len(pdf)):
            page = pdf[number]
            text = page.get_textpage()
            look(text)
            text.close()
            page.close()
        pdf.close()
        seconds.append(round(time.process_time() - started, 3))
    return {"seconds": statistics.median(seconds), "least": min(seconds), "runs": seconds}


def graphs(cache: Path) -> dict[str, object]:
    """How long Django's files take to be read and parsed, and their imports and calls resolved."""
    found = walk([str(cache / "django-4.2.3")], include=("/django/**/*.py",))
    runs: dict[str, list[float]] = {"read": [], "parsed": [], "imports": [], "calls": []}
    for _ in range(_RUNS):
        marks = [time.process_time()]
        documents, _ = read_all(found.sources)
        marks.append(time.process_time())
        files = [file for document in documents if (file := code_file(document)) is not None]
        marks.append(time.process_time())
        imports = import_graph(files)
        marks.append(time.process_time())
        calls = call_graph(files, imports)
        marks.append(time.process_time())
        for times, first, last in zip(runs.values(), marks, marks[1:], strict=False):
            times.append(round(last - first, 3))
    return {
        "files": len(files),
        "characters": sum(len(document.text) for document in documents),
        "imports": len(imports),
        "calls": len(calls),
        "seconds": {step: statistics.median(times) for step, times in runs.items()},
        "runs": runs,
    }


def main(arguments: list[str]) -> int:
    cache, out = map(Path, arguments)
    folder = cache / "debian-policy"
    books = {
        "policy.pdf": folder / "policy.pdf",
        "policy.epub": folder / "policy.epub",
        "policy.docx": cache / "policy-docx/policy.docx",
    }
    pages = many_pages(cache)
    times = {
        "1,000 pages.pdf": timed("a.pdf", pages),
        "1,000 pages.pdf, pdfium alone": pdfium_alone(pages),
        "1,000 pages.pdf, pdfium's rectangles": pdfium_rectangles(pages),
        "novel.epub": timed("a.epub", novel(cache)),
        "Django 4.2.3, graphs": graphs(cache),
        **{name: timed(name, path.read_bytes()) for name, path in books.items()},
    }
    text = document(folder / "policy.txt")
    first, last = BOOKS["debian-policy"][2:]
    agreement = {name: compare(document(path), text, first, last) for name, path in books.items()}
    result = {"times": times, "against policy.txt": agreement}
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
