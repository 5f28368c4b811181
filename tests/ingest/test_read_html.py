from pathlib import Path

import pytest

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.read import read
from longctx.ingest.read_html import decode_markup, read_html
from longctx.ingest.words import words

LONG = "Plain words of a page. " * 60


def document(markup: str | bytes) -> Document:
    data = markup.encode() if isinstance(markup, str) else markup
    item = read_html(Source("a.html", data=data), data)
    assert isinstance(item, Document)
    return item


def test_a_span_leads_to_the_lines_of_the_page_itself() -> None:
    page = document(
        f"<html>\n<body>\n<p>First</p>\n\n\n<p>one\ntwo <b>three\nfour</b></p>\n<p>{LONG}"
    )
    assert page.text.startswith("First\n\none two three four\n\nPlain")
    for word, line in (("First", 3), ("one", 6), ("three", 7), ("four", 8), ("Plain", 9)):
        start = page.text.index(word)
        assert str(page.span(start, start + len(word))) == f"a.html:{line}"


def test_the_title_heads_a_page_that_has_no_other() -> None:
    page = document(f"<html>\n<title>A page</title>\n<h2>Part</h2>\n<p>{LONG}")
    assert page.headings == (Heading(0, "A page", 1), Heading(8, "Part", 2))
    assert page.text[8:].startswith("Part\n") and page.line_at(0) == 2 and page.line_at(8) == 3
    assert document(f"<title>x</title><h1>T</h1><p>{LONG}").headings == (Heading(0, "T", 1),)


@pytest.mark.parametrize(
    "markup",
    [
        "<ul>{% for x in y %}<li>{{ x }}</li>{% endfor %}</ul>" + LONG,
        "<?php echo 1 ?>" + LONG,
        "<html><body><div id=app></div><script>" + "run();" * 500 + "</script></body></html>",
    ],
)
def test_templates_and_skeletons_stay_code(markup: str) -> None:
    page = document(markup)
    assert (page.kind, page.text, page.line_marks) == ("code", markup, ())


def test_what_is_left_out_is_said() -> None:
    page = document(f"<nav>one two</nav><p>{LONG}")
    assert page.notes == ("left out: 2 words of navigation and hidden parts",)


@pytest.mark.parametrize(
    ("encoding", "declared", "text"),
    [
        ("gb18030", '<meta charset="gb2312">', "第十二回 文字"),
        (
            "cp932",
            "<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'>",
            "日本語",
        ),
        ("cp1252", '<?xml version="1.0" encoding="iso-8859-1"?>', "“naïve”"),
        ("koi8-r", "<meta charset=koi8-r>", "Война и мир"),
        ("utf-8", "<meta charset=iso-8859-1>", "naïve – 日本"),
    ],
)
def test_the_encoding_is_what_the_page_says_unless_it_is_utf_8(
    encoding: str, declared: str, text: str
) -> None:
    decoded = decode_markup((declared + text).encode(encoding))
    assert decoded is not None and decoded[0] == declared + text


def test_a_byte_order_mark_comes_first_and_an_unknown_name_is_no_harm() -> None:
    assert decode_markup("\ufeff<meta charset=gb2312>é".encode())[0].endswith("é")
    assert decode_markup("<p>é".encode("utf-16"))[0] == "<p>é"
    assert decode_markup(b"<meta charset=x-nonsense>plain")[0].endswith("plain")
    assert read_html(Source("a.html"), b"\0\1\2") == Skipped("a.html", "binary")


def test_a_real_page_leads_back_to_its_lines(corpus_dir) -> None:
    path = corpus_dir("anarchism") / "html" / "append1.html"
    page = read(Source("append1.html", path=path))
    assert isinstance(page, Document)
    assert page.headings[0].title.startswith("Appendix") and page.headings[0].level == 1
    source = path.read_text(encoding="utf-8", errors="replace").split("\n")
    checked = 0
    for start in page.line_starts[:400]:
        first = words(page.text[start : page.text.find("\n", start)])[:3]
        if first:
            assert first[0] in words(source[page.line_at(start) - 1]), page.text[start : start + 60]
            checked += 1
    assert checked > 20


def test_a_real_manual_keeps_its_headings(corpus_dir) -> None:
    path: Path = corpus_dir("debian-handbook") / "en-US" / "sect.apt-cache.html"
    page = read(Source("sect.apt-cache.html", path=path))
    assert isinstance(page, Document)
    assert "6.3. The apt-cache Command" in [heading.title for heading in page.headings]
