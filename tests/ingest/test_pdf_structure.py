from longctx.ingest.document import Heading, Page
from longctx.ingest.pdf_layout import Piece, Row
from longctx.ingest.pdf_structure import Bookmark, large_type, placed


def row(text: str, size: float, line: int) -> Row:
    bottom = 700.0 - 20 * line
    return [Piece(text, 72.0, bottom, 72.0 + 5 * len(text), bottom + size)]


def body(start: int, lines: int = 20) -> list[Row]:
    return [row("the text goes on and on in its own size", 10, start + n) for n in range(lines)]


def test_larger_type_is_a_heading_and_the_largest_the_highest() -> None:
    pages = [
        [
            row("algo: A title of", 17, 0),
            row("two lines", 17, 1),
            row("1 First part", 13, 2),
            *body(3),
        ],
        [*body(0), row("1.1 A section", 11.5, 30), *body(31), row("x = y + 2", 14, 60)],
    ]
    assert [(mark.page, mark.title, mark.level) for mark in large_type(pages)] == [
        (0, "algo: A title of two lines", 1),
        (0, "1 First part", 2),
        (1, "1.1 A section", 3),
    ]


def test_text_in_several_sizes_and_turned_labels_give_no_headings() -> None:
    code = [row("x <- read(y); plot(x, y); z <- f(x)", 8, 30 + n) for n in range(40)]
    turned = [Piece("Turned label of an axis", 50.0, 100.0, 60.0, 300.0)]
    labels = [row("Density", 15, 80), *body(81, 3), row("Density", 15, 90)]
    assert large_type([[*body(0), *code, turned, *labels]]) == []


def test_titles_are_placed_where_they_stand_in_the_text() -> None:
    text = "Intro\nas you may see in First part\n1 First\npart\ntext\n"
    pages = [Page(1, 0, len(text))]
    start = text.index("1 First")
    assert placed(text, pages, [Bookmark(0, "First part", 1)]) == [Heading(start, "First part", 1)]
    # A bookmark without its title on the page stands for the page; large type does not.
    assert placed(text, pages, [Bookmark(0, "Absent", 1)]) == [Heading(0, "Absent", 1)]
    assert placed(text, pages, [Bookmark(0, "Absent", 1, 12.0)]) == []
