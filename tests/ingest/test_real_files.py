"""Files that other programs wrote: the same book in many formats, tables, mail, a notebook."""

import json
import random
import re

import pytest

from longctx.ingest.document import Document, Source
from longctx.ingest.read import read, read_all
from longctx.ingest.segment import segments


def document(path, name: str = "") -> Document:
    (found,), skipped = read_all([Source(name or path.name, path=path)])
    assert not skipped
    return found


def folded(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def sentences(text: str) -> list[str]:
    found = re.findall(r"[A-Z][^.|*#\"\n]{30,}(?:\n[^.|*#\"\n]+)*\.\s", text)
    return random.Random(1).sample([item for item in found if 60 < len(item) < 300], 200)


@pytest.mark.parametrize(
    ("suffix", "missing"),
    [
        # One sentence of the sample has a link, whose address its text leaves out.
        ("odt", 1),
        ("rtf", 1),
        # In another a number stands before the second paragraph of a numbered item.
        ("pptx", 2),
    ],
)
def test_a_book_from_an_office_format_holds_the_sentences_of_its_text(
    corpus_dir, suffix: str, missing: int
) -> None:
    text = (corpus_dir("debian-policy") / "policy.txt").read_text("utf-8")
    found = folded(document(corpus_dir("policy-office") / f"policy.{suffix}").text)
    assert sum(folded(sentence) not in found for sentence in sentences(text)) <= missing


def test_a_book_from_three_office_formats_has_the_same_headings(corpus_dir) -> None:
    paths = [corpus_dir("policy-office") / f"policy.{suffix}" for suffix in ("odt", "rtf")]
    paths.append(corpus_dir("policy-docx") / "policy.docx")
    odt, rtf, docx = (document(path).headings for path in paths)
    assert len(docx) > 300
    assert [(h.title, h.level) for h in odt] == [(h.title, h.level) for h in rtf]
    # A DOCX may make a heading of a long clause, whose title is cut short.
    for one, other in zip(odt, docx, strict=True):
        assert one.title.startswith(other.title) and one.level == other.level


@pytest.mark.parametrize("suffix", ["tex", "adoc"])
def test_a_book_in_markup_is_parted_at_its_headings_and_its_spans_are_lines(
    corpus_dir, suffix: str
) -> None:
    path = corpus_dir("policy-office") / f"policy.{suffix}"
    book = document(path)
    place = book.text.index("existent home directory is")
    segment = next(part for part in segments(book) if part.start <= place < part.end)
    assert "Non-existent home directories" in segment.heading
    line = book.span(place, place + 3).first_line
    assert "existent home directory is" in path.read_text("utf-8").split("\n")[line - 1]


def test_the_cells_of_real_workbooks_have_their_addresses(corpus_dir) -> None:
    folder = corpus_dir("readxl")
    flowers = document(folder / "datasets.xlsx")
    assert flowers.text.startswith('Sheet "iris"\n\nA1: Sepal.Length | Sepal.Width')
    assert "\nA2: 5.1 | 3.5 | 1.4 | 0.2 | setosa\n" in flowers.text
    assert [page.unit for page in flowers.pages] == ["sheet"] * 4
    assert "A4: Approx date of death | 2007-01-01" in document(folder / "clippy.xlsx").text
    assert "\nB4: B4 | C4 | D4\n" in document(folder / "geometry.xlsx").text
    old = read(Source("clippy.xls", path=folder / "clippy.xls"))
    assert not isinstance(old, Document) and "Excel" in old.reason


def test_a_real_message_keeps_its_headers_and_its_words(corpus_dir) -> None:
    path = corpus_dir("sample-mails") / "sample-nonspam.txt"
    mail = document(path, "letter.eml")
    assert mail.unit == "message"
    assert "Subject: TBTF ping for 2001-04-20: Reviving\n" in mail.text
    body = path.read_text("utf-8").split("\n\n", 1)[1]
    assert body.split() == mail.text.split("\n\n", 1)[1].split()


def test_the_rows_of_a_real_table_stand_on_their_lines(corpus_dir) -> None:
    path = corpus_dir("vega-datasets") / "vega_datasets" / "_data" / "airports.csv"
    table, lines = document(path), path.read_text("utf-8").splitlines()
    for code in ("00M", "JFK", "ZZV"):
        place = table.text.index(f"\n{code},") + 1
        assert lines[table.line_at(place) - 1].startswith(f"{code},")


def test_the_cells_of_a_real_notebook_are_counted_as_it_counts_them(corpus_dir) -> None:
    path = corpus_dir("nbconvert-7.16.4") / "docs" / "source" / "nbconvert_library.ipynb"
    notebook, cells = document(path), json.loads(path.read_text("utf-8"))["cells"]
    assert len(notebook.pages) == len(cells)
    for page, cell in zip(notebook.pages, cells, strict=True):
        assert "".join(cell["source"]).strip() in notebook.text[page.start : page.end]


def test_a_real_zip_file_gives_its_files(corpus_dir) -> None:
    path = corpus_dir("live-manual") / "live-manual.en.epub"
    documents, _ = read_all([Source("manual.zip", path=path)])
    names = {found.name for found in documents}
    assert "manual.zip/OEBPS/about-manual.xhtml" in names and len(names) > 40
