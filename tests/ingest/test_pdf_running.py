from longctx.ingest.pdf_layout import Piece, Row
from longctx.ingest.pdf_running import without_running


def page(*lines: str, top: float = 700.0, step: float = 30.0) -> list[Row]:
    return [
        [Piece(line, 72.0, top - step * place, 400.0, top + 10 - step * place)]
        for place, line in enumerate(lines)
    ]


def texts(pages: list[list[Row]]) -> list[list[str]]:
    return [[row[0].text for row in rows] for rows in pages]


def test_headers_that_repeat_and_footers_that_count_are_left_out_with_a_note() -> None:
    pages = [page("A Book", f"text {n}", "more", f"{n}") for n in "one two three four".split()]
    for number, rows in enumerate(pages, 7):
        rows[-1][0] = rows[-1][0]._replace(text=str(number))
    kept, note = without_running(pages)
    assert texts(kept) == [[f"text {n}", "more"] for n in "one two three four".split()]
    assert note == 'running headers and footers of 4 pages left out: "A Book"'


def test_left_and_right_pages_have_their_own_headers() -> None:
    pages = [
        page(
            f"{n} The Book" if n % 2 == 0 else f"Chapter {n // 4} {n}",
            "line",
            chr(80 + n),
        )
        for n in range(12, 22)
    ]
    kept, note = without_running(pages)
    assert all(len(rows) == 2 for rows in kept)
    assert '"# The Book"' in note


def test_roman_page_numbers_count_too() -> None:
    kept, note = without_running(
        [page(text, "end", n) for text, n in zip("abcd", ("ii", "iii", "iv", "v"), strict=True)]
    )
    assert texts(kept) == [[text, "end"] for text in "abcd"]
    assert note == "running headers and footers of 4 pages left out (page numbers)"


def test_a_title_that_opens_a_few_pages_is_no_header() -> None:
    words = "ash birch cedar elm fir oak pine rowan willow yew".split()
    pages = [
        page("Note" if n < 3 else word, f"about {word}", "end of it")
        for n, word in enumerate(words)
    ]
    for n, rows in enumerate(pages):
        rows[-1][0] = rows[-1][0]._replace(text=f"the {words[-n]} ends here")
    kept, note = without_running(pages)
    assert texts(kept) == texts(pages)
    assert note == ""


def test_two_pages_have_nothing_that_runs() -> None:
    pages = [page("Same", "text", "1"), page("Same", "text", "2")]
    assert without_running(pages) == (pages, "")
