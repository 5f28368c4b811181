import re
import zipfile
from io import BytesIO

import pytest

from longctx.ingest.document import Document, Heading, Page, Skipped, Source
from longctx.ingest.read import read
from longctx.ingest.segment import segments
from longctx.ingest.words import words

CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
HTML = "application/xhtml+xml"


def make_epub(files: dict[str, str | bytes]) -> bytes:
    """A book of these files; what every book needs is added."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, data in ({"META-INF/container.xml": CONTAINER} | files).items():
            archive.writestr(name, data)
    return stream.getvalue()


def package(items: dict[str, str], spine: list[str], *, extra: str = "", toc: str = "") -> str:
    manifest = "".join(
        f'<item id="{name}" href="{href}" media-type="{HTML}"/>' for name, href in items.items()
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in spine)
    return f"<package><manifest>{manifest}{extra}</manifest><spine{toc}>{order}</spine></package>"


def document(data: bytes) -> Document:
    item = read(Source("a.epub", data=data))
    assert isinstance(item, Document), item
    return item


def best_alignment(first: list[str], second: list[str]) -> int:
    """How many words of the two texts are equal in order."""
    from rapidfuzz.distance import LCSseq

    ids: dict[str, int] = {}
    return LCSseq.similarity(
        [ids.setdefault(word, len(ids)) for word in first],
        [ids.setdefault(word, len(ids)) for word in second],
    )


def test_chapters_come_in_reading_order_each_a_page_of_its_own() -> None:
    book = document(
        make_epub(
            {
                "OEBPS/book.opf": package({"a": "text/a.xhtml", "b": "b%20c.xhtml"}, ["b", "a"]),
                "OEBPS/text/a.xhtml": "<h1>Second</h1><p>two</p>",
                "OEBPS/b c.xhtml": "<h1>First</h1><p>one</p>",
            }
        )
    )
    assert book.text == "First\n\none\n\nSecond\n\ntwo\n\n"
    assert book.pages == (Page(1, 0, 12, "chapter"), Page(2, 12, 25, "chapter"))
    assert book.headings == (Heading(0, "First", 1), Heading(12, "Second", 1))
    start = book.text.index("two")
    assert str(book.span(start, start + 3)) == "a.epub, chapter 2"
    assert [segment.heading for segment in segments(book)] == ["First", "Second"]


def test_headings_come_from_the_contents_and_from_the_text() -> None:
    nav = (
        '<nav epub:type="page-list"><ol><li><a href="a.xhtml#s">9</a></li></ol></nav>'
        '<nav epub:type="toc"><ol><li><span>Part</span><ol><li><a href="a.xhtml">One</a></li>'
        '<li><a href="a.xhtml#s">Picture <i>title</i></a></li></ol></li></ol></nav>'
    )
    extra = f'<item id="n" href="nav.xhtml" properties="nav" media-type="{HTML}"/>'
    book = document(
        make_epub(
            {
                "OEBPS/book.opf": package({"a": "a.xhtml"}, ["a"], extra=extra),
                "OEBPS/nav.xhtml": nav,
                "OEBPS/a.xhtml": '<h2>One</h2><p>x<h3>Inner</h3><p>y<p id="s">z',
            }
        )
    )
    assert [(item.title, item.level) for item in book.headings] == [
        ("One", 2),
        ("Inner", 3),
        ("Picture title", 2),
    ]
    assert [book.text[item.start] for item in book.headings] == ["O", "I", "z"]


def test_an_older_table_of_contents_is_read_with_its_depths() -> None:
    ncx = (
        "<ncx><docTitle><text>no entry</text></docTitle><navMap><navPoint><navLabel><text>A</text>"
        '</navLabel><content src="a.xhtml"/><navPoint><navLabel><text>B</text></navLabel>'
        '<content src="a.xhtml#b"/></navPoint></navPoint></navMap></ncx>'
    )
    extra = '<item id="t" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    book = document(
        make_epub(
            {
                "OEBPS/book.opf": package({"a": "a.xhtml"}, ["a"], extra=extra, toc=' toc="t"'),
                "OEBPS/toc.ncx": ncx,
                "OEBPS/a.xhtml": '<p>x</p><p><a id="b"/>y</p>',
            }
        )
    )
    assert book.headings == (Heading(0, "A", 1), Heading(3, "B", 2))


def test_a_page_of_contents_in_headings_gives_none() -> None:
    files = {
        "OEBPS/book.opf": package({"i": "i.xhtml", "a": "a.xhtml"}, ["i", "a"]),
        "OEBPS/i.xhtml": "<h1>One</h1><h1>Two</h1>",
        "OEBPS/a.xhtml": "<h1>One</h1><p>text</p><h1>Two</h1><p>text</p>",
    }
    book = document(make_epub(files))
    assert [book.page_at(item.start) for item in book.headings] == [2, 2]


def test_malformed_manifests_are_tolerated() -> None:
    opf = (
        f'<opf:package><manifest><item id="a#1" href="a.xhtml#1" media-type="{HTML}">'
        f'<item id="a#2" href="a.xhtml#2" media-type="{HTML}"/>'
        f'<item id=b href="GONE.xhtml" media-type="{HTML}"/><item id="p" href="p.svg"'
        ' media-type="image/svg+xml"/></manifest><spine><itemref idref="a#1"/><itemref idref="p"/>'
        '<itemref idref="a#2"/><itemref idref="b"/><itemref idref="C.XHTML"/>'
    )
    files = {
        "OEBPS/book.opf": opf,
        "OEBPS/a.xhtml": "<p>once & <b>for all",
        "OEBPS/c.xhtml": "<body/>",
    }
    book = document(make_epub(files))
    assert book.text == "once & for all\n\n"
    assert [page.number for page in book.pages] == [1, 2, 3]
    assert book.notes == ("chapter 2 (OEBPS/GONE.xhtml): missing; no text in chapter 3",)


def test_without_a_package_file_the_pages_come_as_they_lie() -> None:
    book = document(make_epub({"b.html": "<p>one", "a.xhtml": "<p>two"}))
    assert book.text == "one\n\ntwo\n\n"
    assert book.notes == ("no package file: chapters in the order of the archive",)


@pytest.mark.parametrize(
    ("method", "uri", "name", "expected"),
    [
        (
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            "a.xhtml",
            "META-INF/rights.xml",
            "Adobe ADEPT",
        ),
        (
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
            "a.xhtml",
            "META-INF/license.lcpl",
            "Readium LCP",
        ),
        ("urn:something", "a.xhtml", "x", "an unknown system"),
        ("http://www.idpf.org/2008/embedding", "font.otf", "META-INF/rights.xml", None),
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "font.otf", "x", None),
    ],
)
def test_locks_on_the_text_are_named_and_scrambled_fonts_are_none(
    method: str, uri: str, name: str, expected: str | None
) -> None:
    encryption = (
        f'<encryption><enc:EncryptedData><enc:EncryptionMethod Algorithm="{method}"/>'
        f'<enc:CipherData><enc:CipherReference URI="OEBPS/{uri}"/></enc:CipherData>'
        "</enc:EncryptedData></encryption>"
    )
    files = {
        "META-INF/encryption.xml": encryption,
        name: "x",
        "OEBPS/book.opf": package({"a": "a.xhtml"}, ["a"]),
        "OEBPS/a.xhtml": "<p>text",
    }
    item = read(Source("a.epub", data=make_epub(files)))
    if expected is None:
        assert isinstance(item, Document) and item.text == "text\n\n"
    else:
        assert item == Skipped("a.epub", f"locked (DRM): {expected}")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    from longctx.ingest import read_epub as reader

    monkeypatch.setattr(reader, "MAX_BYTES", 1_000_000)
    files = {
        "OEBPS/book.opf": package({"a": "a.xhtml", "b": "b.xhtml"}, ["a", "b"]),
        "OEBPS/a.xhtml": "<p>small",
        "OEBPS/b.xhtml": b" " * 50_000_000,
    }
    book = document(make_epub(files))
    assert book.text == "small\n\n"
    assert "chapter 2 (OEBPS/b.xhtml): 50 MB, more than the 1 that may still be read" in book.notes


@pytest.mark.parametrize("data", [b"PK\3\4 no zip", b"", make_epub({})[:60]])
def test_a_damaged_book_is_skipped_with_the_reason(data: bytes) -> None:
    assert read(Source("a.epub", data=data)) == Skipped("a.epub", "damaged, or not a zip file")


def test_a_book_is_known_by_its_first_bytes_whatever_its_name() -> None:
    data = make_epub({"a.xhtml": "<p>text"})
    assert isinstance(read(Source("stdin", data=data)), Document)


def test_debian_policy_reads_word_for_word_as_its_text(corpus_dir) -> None:
    """Of the same book in EPUB and in text 99.5 % of the words are equal in order.

    Words are letters and digits in lower case: white space, line ends, punctuation, bullets and
    underlines fall away. Two things are taken out first. The text prints literals between double
    quotes, also inside words ("conffile"s), where the EPUB has another font: double quotes go from
    both. The EPUB prints the target of each link to the web after it, [https://...]: these go
    from the EPUB. Contents, footnotes and their marks stay, in both.
    """
    folder = corpus_dir("debian-policy")
    book = read(Source("policy.epub", path=folder / "policy.epub"))
    plain = read(Source("policy.txt", path=folder / "policy.txt"))
    assert isinstance(book, Document) and isinstance(plain, Document)
    first = words(re.sub(r" \[https?://[^\]]*\]", "", book.text).replace('"', ""))
    second = words(plain.text.replace('"', ""))
    equal = best_alignment(first, second)
    assert equal >= 0.995 * max(len(first), len(second))


def test_a_quote_from_the_text_is_found_in_the_right_chapter_of_the_book(corpus_dir) -> None:
    book = read(Source("policy.epub", path=corpus_dir("debian-policy") / "policy.epub"))
    assert isinstance(book, Document)
    assert [page.unit for page in book.pages] == ["chapter"] * 25 and not book.notes
    quote = "This manual cannot and does not prohibit every possible bug"
    start = book.text.index(quote)
    assert str(book.span(start, start + len(quote))) == "policy.epub, chapter 2"
    inside = [segment for segment in segments(book) if segment.start <= start < segment.end]
    assert [(segment.heading, segment.level) for segment in inside] == [("1.1. Scope", 2)]
    assert "4.9.1. debian/rules and DEB_BUILD_OPTIONS" in [item.title for item in book.headings]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_books_whose_manifests_name_places_are_read_once(corpus_dir, language: str) -> None:
    path = corpus_dir("live-manual") / f"live-manual.{language}.epub"
    book = read(Source(path.name, path=path))
    assert isinstance(book, Document)
    assert len(book.pages) == 47 and not book.notes
    titles = [item.title for item in book.headings]
    assert len([title for title in titles if title.startswith("1.1 ")]) == 1
    for heading in book.headings:
        assert not book.text[heading.start].isspace()
    assert [item.start for item in book.headings] == sorted(item.start for item in book.headings)
