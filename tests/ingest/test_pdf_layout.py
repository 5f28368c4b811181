import pytest

from longctx.ingest.pdf_layout import Piece, page_text, reading_order

LEFT = [f"left column line {n} goes on and" for n in range(12)]
RIGHT = [f"right column line {n} runs along" for n in range(12)]
THIRD = [f"third column line {n} is the last" for n in range(12)]


def piece(text: str, left: float, line: float, width: float = 150.0) -> Piece:
    bottom = 700 - 12 * line
    return Piece(text, left, bottom, left + width, bottom + 10)


def column(lines: list[str], left: float) -> list[Piece]:
    return [piece(text, left, place) for place, text in enumerate(lines)]


def read(pieces: list[Piece]) -> list[str]:
    return page_text(reading_order(pieces)).split("\n")[:-1]


def test_columns_that_are_drawn_one_by_one_stay_as_they_are() -> None:
    assert read(column(LEFT, 50) + column(RIGHT, 220)) == LEFT + RIGHT


@pytest.mark.parametrize("number", [2, 3])
def test_columns_that_are_drawn_across_are_read_one_by_one(number: int) -> None:
    columns = [column(lines, 50 + 170 * n) for n, lines in enumerate((LEFT, RIGHT, THIRD)[:number])]
    across = [cell for line in zip(*columns, strict=True) for cell in line]
    assert read(across) == sum((LEFT, RIGHT, THIRD)[:number], [])


def test_a_title_across_the_columns_comes_first_and_a_footnote_across_them_last() -> None:
    pieces = [
        cell for line in zip(column(LEFT, 50), column(RIGHT, 220), strict=True) for cell in line
    ]
    title = piece("A title that goes across both columns", 50, -3, 320)
    foot = piece("a footnote that goes across both columns", 50, 16, 320)
    assert [line for line in read([*pieces, foot, title]) if line] == [
        title.text,
        *LEFT,
        *RIGHT,
        foot.text,
    ]


def test_a_page_that_is_drawn_from_the_bottom_up_is_read_from_the_top() -> None:
    assert read(column(LEFT, 50)[::-1]) == LEFT


def test_the_cells_of_a_table_stay_in_their_rows() -> None:
    rows = [
        (f"package-{n}", f"{n}00 kB", f"what package number {n} is good for") for n in range(12)
    ]
    pieces = [
        piece(text, left, line, width)
        for line, row in enumerate(rows)
        for text, left, width in zip(row, (50, 150, 220), (60, 30, 200), strict=True)
    ]
    assert read(pieces) == ["  ".join(row) for row in rows]


def test_a_paragraph_is_set_off_by_a_blank_line() -> None:
    pieces = [piece("one", 50, 0), piece("two", 50, 1), piece("three", 50, 2), piece("new", 50, 4)]
    assert read(pieces) == ["one", "two", "three", "", "new"]
