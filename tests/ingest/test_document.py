import pytest

from longctx.ingest.document import Document, Page, printable


def test_lines_and_spans_are_counted_from_one_and_end_at_the_last_character() -> None:
    document = Document("a.txt", "one\ntwo\nthree\n", "prose", "00")
    assert document.num_lines == 3
    assert str(document.span(0, 3)) == "a.txt:1"
    assert str(document.span(4, 8)) == "a.txt:2"
    assert str(document.span(2, 9)) == "a.txt:1-3"
    assert Document("a", "no newline", "prose", "00").num_lines == 1


def test_a_span_of_a_paged_document_names_pages_and_an_empty_page_holds_nothing() -> None:
    pages = (Page(1, 0, 4), Page(2, 4, 4), Page(3, 4, 8))
    document = Document("a.pdf", "aaa\nbbb\n", "pdf", "00", pages=pages)
    assert str(document.span(0, 4)) == "a.pdf, page 1"
    assert str(document.span(4, 8)) == "a.pdf, page 3"
    assert str(document.span(3, 5)) == "a.pdf, pages 1-3"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("中文.md", "中文.md"),
        ("a\nb", "a\\x0ab"),
        ("a\x1b[31m", "a\\x1b[31m"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("caf\\xe9", "caf\\\\xe9"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
    ],
)
def test_a_name_is_shown_in_printable_characters(name: str, shown: str) -> None:
    assert printable(name) == shown
