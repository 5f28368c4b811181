"""Every Span leads back: what stands in it is what was put there, in whatever format."""

import io
import json
import mailbox
import tarfile
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import office_files as office
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_read_epub import make_epub, package
from test_read_notebook import code, make
from test_read_odt import odt
from test_read_pdf import make_pdf
from test_read_pptx import line, pptx, shape
from test_read_xlsx import xlsx

from longctx.ingest import read_pdf
from longctx.ingest.document import Document, Source
from longctx.ingest.pdfium_pages import Unreadable
from longctx.ingest.read import read, read_all
from longctx.ingest.segment import segments

Parts = list[list[list[str]]]
"""Words, in lines, in parts: what a page, a chapter, a sheet holds."""


@st.composite
def parts(draw: st.DrawFn, alphabet: str) -> Parts:
    """Parts of lines of words; no word is found in another, and none looks like a number."""
    numbers = count()
    endings = st.text(alphabet, max_size=12)

    def word() -> str:
        name = "".join("defghjkmno"[int(digit)] for digit in str(next(numbers)))
        return f"q{name}z{draw(endings)}y"

    lines = st.lists(st.integers(1, 7), min_size=1, max_size=12)
    return [
        [[word() for _ in range(length)] for length in part]
        for part in draw(st.lists(lines, min_size=1, max_size=5))
    ]


def joined(part: list[list[str]], space: str = " ", end: str = "\n") -> str:
    return end.join(space.join(words) for words in part)


def pdf(parts: Parts) -> bytes:
    return make_pdf([[" ".join(words) for words in part] for part in parts])


def epub(parts: Parts) -> bytes:
    names = {f"c{number}": f"c{number}.xhtml" for number in range(len(parts))}
    pages = {
        f"c{number}.xhtml": f"<body><p>{joined(part, end='</p><p>')}</p></body>"
        for number, part in enumerate(parts)
    }
    book = {"book.opf": package(names, list(names)), **pages}
    return make_epub(book)


def presentation(parts: Parts) -> bytes:
    return pptx(*(shape(*(line(" ".join(words)) for words in part)) for part in parts))


def workbook(parts: Parts) -> bytes:
    def cell(word: str) -> str:
        return f'<c t="inlineStr"><is><t>{word}</t></is></c>'

    return xlsx(
        *(
            "<sheetData>"
            + "".join(f"<row>{''.join(map(cell, words))}</row>" for words in part)
            + "</sheetData>"
            for part in parts
        )
    )


def notebook(parts: Parts) -> bytes:
    texts = [joined(part) for part in parts]
    return make(
        [
            code(text) if number % 2 else {"cell_type": "markdown", "source": text}
            for number, text in enumerate(texts)
        ]
    )


def mails(parts: Parts) -> bytes:
    with TemporaryDirectory() as folder:
        box = mailbox.mbox(Path(folder, "box"))
        for part in parts:
            mail = EmailMessage()
            mail["From"] = "Ann <ann@example.org>"
            mail.set_content(joined(part))
            box.add(mail)
        box.close()
        return Path(folder, "box").read_bytes()


PAGED = [
    ("a.pdf", "page", "abc,", pdf),
    ("a.epub", "chapter", "abcäé中,.", epub),
    ("a.pptx", "slide", "abcäé中,.", presentation),
    ("a.xlsx", "sheet", "abcäé中,.", workbook),
    ("a.ipynb", "cell", "abcäé中,.", notebook),
    ("a.mbox", "message", "abcäé中,.", mails),
]


@pytest.mark.parametrize(("name", "unit", "alphabet", "write"), PAGED, ids=lambda v: str(v)[:6])
def test_a_span_names_the_part_that_its_words_were_put_in(
    name: str, unit: str, alphabet: str, write: Callable[[Parts], bytes]
) -> None:
    @settings(max_examples=20)
    @given(parts(alphabet))
    def check(content: Parts) -> None:
        (document,), skipped = read_all([Source(name, data=write(content))])
        assert not skipped and document.unit == unit
        place = 0
        for number, part in enumerate(content, 1):
            for word in (word for words in part for word in words):
                place = document.text.index(word, place)
                assert document.text.count(word) == 1
                span = document.span(place, place + len(word))
                assert document.text[span.start : span.end] == word
                assert (span.first_page, span.last_page) == (number, number)
        assert document.pages[0].start == 0 and document.pages[-1].end == len(document.text)
        for page, following in zip(document.pages, document.pages[1:], strict=False):
            assert page.end == following.start

    check()


def html(parts: Parts) -> bytes:
    lines = "</p>\n<p>\n".join(joined(part) for part in parts)
    return f"<html><body>\n<p>{lines}</p>\n</body></html>".encode()


def html_table(parts: Parts) -> bytes:
    rows = "".join(
        f"<tr>\n<td>{joined([words], space='</td>{0}<td>')}</td></tr>{{0}}"
        for part in parts
        for words in part
    )
    # Every other cell begins a new line of the markup.
    return f"<html><body><table>\n{rows.format(chr(10))}</table></body></html>".encode()


def html_nested(parts: Parts) -> bytes:
    items = "".join(
        f"<li>{' '.join(part[0])}\n<ul>"
        + "".join(f"<li><b>{words[0]}</b>\n{' '.join(words[1:])}</li>" for words in part[1:])
        + f"</ul>\n<pre>\n{joined(part[-1:])}\n  x</pre></li>"
        for part in parts
    )
    return f"<!-- one\ntwo --><html><body><ol>{items}</ol></body></html>".encode()


def csv(parts: Parts) -> bytes:
    return joined([words for part in parts for words in part], space=";").encode()


def json_lines(parts: Parts) -> bytes:
    return "\n".join(
        json.dumps(words, ensure_ascii=False) for part in parts for words in part
    ).encode()


CHINESE = "道可道，非常道。名可名，非常名。无名天地之始，有名万物之母。\r\n" * 5


def text_in(encoding: str, before: str = "") -> Callable[[Parts], bytes]:
    """Texts in an encoding; one that is told by its letters needs some `before` the words."""

    def write(parts: Parts) -> bytes:
        text = "\r\n\r\n".join(joined(part, end="\r\n") for part in parts)
        return f"{before}{text}".encode(encoding)

    return write


LINED = [
    ("a.html", "utf-8", html),
    ("a.htm", "utf-8", html_table),
    ("a.xhtml", "utf-8", html_nested),
    ("a.csv", "utf-8", csv),
    ("a.jsonl", "utf-8", json_lines),
    ("a.txt", "utf-8-sig", text_in("utf-8-sig")),
    ("a.md", "utf-16", text_in("utf-16")),
    ("a.py", "utf-8", text_in("utf-8")),
    ("a.tex", "utf-8", text_in("utf-8")),
    ("a.rst", "utf-16-le", text_in("utf-16-le")),
    ("a.adoc", "gb18030", text_in("gb18030", CHINESE)),
    ("a.log", "utf-8", text_in("utf-8")),
]


@pytest.mark.parametrize(("name", "encoding", "write"), LINED, ids=lambda v: str(v)[:6])
def test_a_span_names_the_line_of_the_file_that_its_words_stand_on(
    name: str, encoding: str, write: Callable[[Parts], bytes]
) -> None:
    @settings(max_examples=20)
    @given(parts("abcäé中"))
    def check(content: Parts) -> None:
        data = write(content)
        document = read(Source(name, data=data))
        assert isinstance(document, Document)
        lines = data.decode(encoding).splitlines()
        for word in (word for part in content for words in part for word in words):
            place = document.text.index(word)
            span = document.span(place, place + len(word))
            assert document.text[span.start : span.end] == word
            assert span.first_line == span.last_line
            assert word in lines[span.first_line - 1]

    check()


def docx(parts: Parts) -> bytes:
    title = office.paragraph_style("N", "Normal") + office.paragraph_style("H1", "heading 1", "N")
    body = "".join(
        office.p(" ".join(words), style="" if number else "H1")
        for part in parts
        for number, words in enumerate(part)
    )
    return office.docx(body, styles=title)


def odt_file(parts: Parts) -> bytes:
    return odt(
        "".join(
            f'<text:h text:outline-level="1">{" ".join(part[0])}</text:h>'
            + "".join(f"<text:p>{' '.join(words)}</text:p>" for words in part[1:])
            for part in parts
        )
    )


def rtf(parts: Parts) -> bytes:
    def escaped(words: list[str]) -> str:
        return "".join(c if c.isascii() else rf"\u{ord(c)}?" for c in " ".join(words))

    paragraphs = "".join(
        rf"\pard{'' if number else chr(92) + 'outlinelevel0'} {escaped(words)}\par "
        for part in parts
        for number, words in enumerate(part)
    )
    return (r"{\rtf1\ansi\ansicpg1252 " + paragraphs + "}").encode("ascii")


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.docx", docx), ("a.odt", odt_file), ("a.rtf", rtf)],
    ids=["docx", "odt", "rtf"],
)
def test_a_span_lies_below_the_heading_that_its_words_were_put_under(
    name: str, write: Callable[[Parts], bytes]
) -> None:
    @settings(max_examples=20)
    @given(parts("abcäé中"))
    def check(content: Parts) -> None:
        document = read(Source(name, data=write(content)))
        assert isinstance(document, Document)
        found = list(segments(document))
        assert "".join(segment.text for segment in found) == document.text
        place = 0
        for part in content:
            for word in (word for words in part for word in words):
                place = document.text.index(word, place)
                segment = next(s for s in found if s.start <= place < s.end)
                # A long title is cut short.
                assert segment.heading and " ".join(part[0]).startswith(segment.heading)
                assert document.text[segment.span.start : segment.span.end] == segment.text

    check()


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def mailed(files: dict[str, bytes]) -> bytes:
    mail = EmailMessage()
    mail["From"] = "Ann <ann@example.org>"
    mail.set_content("see what is attached\n")
    for name, content in files.items():
        mail.add_attachment(content, "application", "octet-stream", filename=name)
    return bytes(mail)


def zipped_twice(files: dict[str, bytes]) -> bytes:
    return zipped({"inner.zip": zipped(files)})


HOLDERS = [
    ("a.zip", "a.zip/", zipped),
    ("a.tar.xz", "a.tar.xz/", tarred),
    ("a.eml", "a.eml/", mailed),
    ("a.zip", "a.zip/inner.zip/", zipped_twice),
]


@pytest.mark.parametrize(("name", "prefix", "pack"), HOLDERS, ids=lambda v: str(v)[:8])
def test_a_span_names_the_file_in_an_archive_and_its_line(
    name: str, prefix: str, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    @settings(max_examples=20)
    @given(parts("abcäé中"))
    def check(content: Parts) -> None:
        files = {f"f{number}.txt": joined(part) for number, part in enumerate(content)}
        data = pack({name: text.encode() for name, text in files.items()})
        documents, skipped = read_all([Source(name, data=data)])
        found = {document.name.removeprefix(prefix): document for document in documents}
        assert not skipped and files.keys() <= found.keys()
        for (file, text), part in zip(files.items(), content, strict=True):
            for number, words in enumerate(part, 1):
                for word in words:
                    place = found[file].text.index(word)
                    span = found[file].span(place, place + len(word))
                    assert str(span) == f"{prefix}{file}:{number}"
                    assert text.splitlines()[span.first_line - 1].count(word) == 1

    check()


def test_without_pdfium_a_span_still_names_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, password: str) -> None:
        raise Unreadable("damaged, or not a PDF")

    monkeypatch.setattr(read_pdf, "pdfium_pages", refuse)

    @settings(max_examples=20)
    @given(parts("abc"))
    def check(content: Parts) -> None:
        document = read(Source("a.pdf", data=pdf(content)))
        assert isinstance(document, Document)
        for number, part in enumerate(content, 1):
            for word in (word for words in part for word in words):
                place = document.text.index(word)
                assert document.span(place, place + len(word)).first_page == number

    check()
