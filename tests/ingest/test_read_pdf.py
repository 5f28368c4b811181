from pathlib import Path

import pypdfium2
import pytest

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.pdf_layout import Piece
from longctx.ingest.pdfium_pages import PdfPage
from longctx.ingest.read_pdf import read_pdf
from longctx.ingest.read_settings import ReadSettings


def make_pdf(pages: list[list[str]], *, outline: list[tuple[str, int]] | None = None) -> bytes:
    """A small PDF of Helvetica lines, written as ISO 32000-1 sections 7.5 and 12.3.3 say."""
    objects: list[bytes] = []

    def add(body: str | bytes) -> int:
        objects.append(body.encode("latin-1") if isinstance(body, str) else body)
        return len(objects)

    catalog, tree, font = add(""), add(""), add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    kids = []
    for lines in pages:
        shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
        stream = f"BT /F1 12 Tf 72 720 Td {shown} ET"
        content = add(f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream")
        kids.append(
            add(
                f"<</Type/Page/Parent {tree} 0 R/MediaBox[0 0 612 792]/Contents {content} 0 R"
                f"/Resources<</Font<</F1 {font} 0 R>>>>>>"
            )
        )
    root = ""
    if outline:
        first = len(objects) + 2
        last = first + len(outline) - 1
        top = add(f"<</Type/Outlines/First {first} 0 R/Last {last} 0 R/Count {len(outline)}>>")
        for place, (title, page) in enumerate(outline):
            following = f"/Next {first + place + 1} 0 R" if first + place < last else ""
            add(f"<</Title({title})/Parent {top} 0 R/Dest[{kids[page]} 0 R/Fit]{following}>>")
        root = f"/Outlines {top} 0 R"
    objects[catalog - 1] = f"<</Type/Catalog/Pages {tree} 0 R{root}>>".encode()
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[tree - 1] = f"<</Type/Pages/Kids[{listed}]/Count {len(kids)}>>".encode()
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"trailer\n<</Size %d/Root %d 0 R>>\n" % (size, catalog)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    return data + head + table + trailer + b"startxref\n%d\n%%%%EOF" % len(data)


def make_drawn_pdf(stream: str, resources: str = "") -> bytes:
    """A PDF of one page that draws `stream`, with further entries of the page."""
    plain = "BT /F1 12 Tf 72 720 Td (@@) Tj 0 -14 Td ET"
    data = make_pdf([["@@"]]).replace(
        f"<</Length {len(plain)}>>\nstream\n{plain}".encode(),
        f"<</Length {len(stream)}>>\nstream\n{stream}".encode(),
    )
    return data.replace(b"/MediaBox", f"{resources}/MediaBox".encode())


def read(data: bytes, password: str = "") -> Document | Skipped:
    return read_pdf(Source("a.pdf", data=data), data, ReadSettings(password=password))


def document(data: bytes, password: str = "") -> Document:
    item = read(data, password)
    assert isinstance(item, Document)
    return item


def test_every_page_has_its_text_and_its_exact_range() -> None:
    pdf = document(make_pdf([["First page", "second line"], ["Another page"]]))
    assert pdf.text == "First page\nsecond line\nAnother page\n"
    assert [pdf.text[page.start : page.end] for page in pdf.pages] == [
        "First page\nsecond line\n",
        "Another page\n",
    ]
    start = pdf.text.index("Another")
    assert str(pdf.span(start, start + 7)) == "a.pdf, page 2"


def test_the_hyphen_at_a_line_end_is_joined_and_the_one_inside_a_line_stays() -> None:
    pdf = document(make_pdf([["an inter-", "national well-known law"]]))
    assert pdf.text == "an international\nwell-known law\n"


def test_a_compound_keeps_its_hyphen_at_a_line_end() -> None:
    pdf = document(
        make_pdf(
            [["a non-native package, non-", "native too, Build-", "Depends and inter-", "nal"]]
        )
    )
    assert pdf.text == ("a non-native package, non-native\ntoo, Build-Depends\nand internal\n")


def test_pages_that_are_pictures_are_named_and_blank_ones_are_not() -> None:
    picture = make_drawn_pdf("0 0 612 792 re f")
    text, blank = make_pdf([["one"]]), make_pdf([[]])
    pdf = document(joined(text, picture, picture, text, blank, picture))
    assert pdf.notes == ("no text layer: pages 2-3, 6",)
    assert pdf.page_at(pdf.text.rindex("one")) == 4


def test_a_pdf_without_any_text_is_skipped() -> None:
    assert read(make_drawn_pdf("0 0 612 792 re f")) == Skipped("a.pdf", "scanned: no text layer")
    assert read(make_pdf([[], []])) == Skipped("a.pdf", "empty")


def test_the_outline_gives_headings_where_their_titles_stand() -> None:
    data = make_pdf(
        [["intro", "1 Scope", "text"], ["2 Terms", "more"]],
        outline=[("Scope", 0), ("Terms", 1)],
    )
    pdf = document(data)
    assert pdf.headings == (Heading(6, "Scope", 1), Heading(19, "Terms", 1))
    assert pdf.text[6:].startswith("1 Scope") and pdf.text[19:].startswith("2 Terms")


@pytest.mark.parametrize(
    "data", [b"%PDF-1.4\nno objects here", b"<html>not a PDF</html>", make_pdf([["x"]])[:40]]
)
def test_a_damaged_file_is_skipped_with_the_reason(data: bytes) -> None:
    assert read(data) == Skipped("a.pdf", "damaged, or not a PDF")


def test_an_encrypted_file_is_read_with_its_password_and_asks_for_it_without(
    tmp_path: Path,
) -> None:
    from pypdf import PdfReader, PdfWriter

    plain = tmp_path / "plain.pdf"
    plain.write_bytes(make_pdf([["secret text"]]))
    writer = PdfWriter(clone_from=PdfReader(plain))
    writer.encrypt("open sesame", algorithm="RC4-128")
    with open(tmp_path / "locked.pdf", "wb") as file:
        writer.write(file)
    data = (tmp_path / "locked.pdf").read_bytes()
    assert read(data) == Skipped("a.pdf", "encrypted: give its password with --password")
    assert read(data, "guess") == Skipped("a.pdf", "encrypted: the password given does not open it")
    assert document(data, "open sesame").text == "secret text\n"


def test_what_pdfium_refuses_is_read_by_pypdf(monkeypatch: pytest.MonkeyPatch) -> None:
    import pypdfium2

    def refuse(data: bytes, password: str | None) -> None:
        raise pypdfium2.PdfiumError("Failed to load document (PDFium: Data format error).")

    monkeypatch.setattr(pypdfium2, "PdfDocument", refuse)
    pdf = document(make_pdf([["First page"], ["Second page"]]))
    assert pdf.text == "First page\nSecond page\n"
    assert len(pdf.pages) == 2


def test_text_in_a_font_without_an_encoding_is_called_garbled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from longctx.ingest import read_pdf as reader

    page = PdfPage((Piece("\ue001\ue002st \ue003q\ue004r", 0, 0, 90, 10),))
    monkeypatch.setattr(reader, "pdfium_pages", lambda data, password: ([page], []))
    assert document(b"").notes == ("garbled: a font without a usable encoding",)


def joined(*files: bytes) -> bytes:
    """One PDF of the pages of several."""
    from io import BytesIO

    from pypdf import PdfWriter

    writer, data = PdfWriter(), BytesIO()
    for file in files:
        writer.append(BytesIO(file))
    writer.write(data)
    return data.getvalue()


def test_what_is_written_into_a_form_is_read() -> None:
    field = (
        "/Annots[<</Type/Annot/Subtype/Widget/Rect[140 600 340 620]/FT/Tx/T(name)/V(Ada Byron)"
        "/DA(/F1 12 Tf 0 g)/F 4/AP<</N 9 0 R>>>>]"
    )
    data = make_drawn_pdf("BT /F1 12 Tf 72 604 Td (Name:) Tj ET", field)
    look = "BT /F1 12 Tf 2 4 Td (Ada Byron) Tj ET"
    form = (
        f"9 0 obj\n<</Type/XObject/Subtype/Form/BBox[0 0 200 20]/Length {len(look)}"
        f"/Resources<</Font<</F1 3 0 R>>>>>>\nstream\n{look}\nendstream\nendobj\nxref"
    )
    assert document(data.replace(b"xref", form.encode(), 1)).text == "Name:  Ada Byron\n"


def test_comments_stand_below_their_page() -> None:
    notes = (
        "/Annots[<</Type/Annot/Subtype/Text/Rect[1 1 9 9]/T(Ada)/Contents(Is this so?)>>"
        "<</Type/Annot/Subtype/Link/Rect[1 1 9 9]/Contents(no comment)>>]"
    )
    pdf = document(make_drawn_pdf("BT /F1 12 Tf 72 604 Td (A claim.) Tj ET", notes))
    assert pdf.text == "A claim.\n[comment] Ada: Is this so?\n"
    assert pdf.pages[0].end == len(pdf.text)


def test_invisible_text_is_read_and_named() -> None:
    pdf = document(make_drawn_pdf("BT 3 Tr /F1 12 Tf 72 700 Td (as scanned) Tj ET"))
    assert pdf.text == "as scanned\n"
    assert pdf.notes == ("invisible text, as text recognition leaves it: page 1",)


def test_text_beside_the_page_is_read_and_named() -> None:
    drawn = "BT /F1 12 Tf 72 1000 Td (far above) Tj 0 -300 Td (inside) Tj ET"
    pdf = document(make_drawn_pdf(drawn))
    assert pdf.text.split() == ["far", "above", "inside"]
    assert pdf.notes == ("text outside the visible page: page 1",)


def test_a_cell_that_a_long_word_reaches_into_stands_apart_from_it() -> None:
    name, number = "(unattended-upgrades) Tj", "80 -6 Td (V:297) Tj"
    assert document(make_drawn_pdf(f"BT /F1 12 Tf 72 720 Td {name} {number} ET")).text.split() == [
        "unattended-upgrades",
        "V:297",
    ]
    # What is raised belongs to its word.
    raised = "BT /F1 12 Tf 72 720 Td (notes) Tj /F1 7 Tf 30 6 Td (17) Tj ET"
    assert document(make_drawn_pdf(raised)).text == "notes17\n"


def test_a_page_set_sideways_reads_like_one_set_upright() -> None:
    cells = [("Name", 100), ("Weight", 300), ("Oak", 100), ("heavy", 300)]
    places = [(x, 700 - 20 * (index // 2)) for index, (_, x) in enumerate(cells)]
    upright = " ".join(
        f"BT /F1 12 Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET"
        for (text, _), (x, y) in zip(cells, places, strict=True)
    )
    sideways = " ".join(
        f"BT /F1 12 Tf 0 1 -1 0 {800 - y} {x} Tm ({text}) Tj ET"
        for (text, _), (x, y) in zip(cells, places, strict=True)
    )
    expected = "Name  Weight\nOak  heavy\n"
    assert document(make_drawn_pdf(upright)).text == expected
    assert document(make_drawn_pdf(sideways)).text == expected


def test_damaged_pages_are_named_and_the_others_keep_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = pypdfium2.PdfDocument.get_page

    def get_page(pdf: pypdfium2.PdfDocument, index: int) -> pypdfium2.PdfPage:
        if index < 17 or index == 20:
            raise pypdfium2.PdfiumError("Failed to load page.")
        return whole(pdf, index)

    monkeypatch.setattr(pypdfium2.PdfDocument, "get_page", get_page)
    words = ["".join("abcdefghij"[int(digit)] for digit in str(n)) for n in range(40)]
    pdf = document(make_pdf([[f"{word} stands here"] for word in words]))
    assert pdf.notes == ("damaged: pages 1-17, 21",)
    for number, page in enumerate(pdf.pages):
        text = "" if number < 17 or number == 20 else f"{words[number]} stands here\n"
        assert pdf.text[page.start : page.end] == text


def test_pages_that_hold_only_a_counted_line_are_not_empty() -> None:
    pdf = document(make_pdf([[f"slide {n} of 9"] for n in range(1, 10)]))
    assert pdf.text == "".join(f"slide {n} of 9\n" for n in range(1, 10))
    assert pdf.notes == ()


def test_labels_set_sideways_on_an_upright_page_stay_words() -> None:
    def turned(label: str, x: int, y: int) -> str:
        return f"BT /F1 12 Tf 0 1 -1 0 {x} {y} Tm ({label}) Tj ET"

    axis = f"{turned('43.60', 60, 500)} {turned('43.65', 60, 550)}"
    drawn = f"BT /F1 12 Tf 72 720 Td (The head) Tj ET {axis} BT /F1 12 Tf 72 400 Td (Feb) Tj ET"
    assert document(make_drawn_pdf(drawn)).text == "The head\n43.60 43.65\nFeb\n"
    # pdfium takes what follows at the same height for the same line.
    beside = f"BT /F1 12 Tf 40 500 Td (Index) Tj ET {turned('43.60', 100, 500)}"
    assert document(make_drawn_pdf(beside)).text.split() == ["Index", "43.60"]


def test_a_real_paper_of_two_columns_is_read_column_by_column(corpus_dir) -> None:
    pdf = document((corpus_dir("papers") / "Rcpp-quickref.pdf").read_bytes())
    order = ["Interface with R", "Back in R.", "require(myPackage)", "STL interface"]
    page = pdf.pages[1]
    places = [pdf.text.index(words, page.start, page.end) for words in order]
    assert places == sorted(places)
    assert "Eddelbuettel and François" not in pdf.text[page.start : page.end]


def test_a_real_paper_in_bitmap_fonts_has_its_letters(corpus_dir) -> None:
    pdf = document((corpus_dir("papers") / "PLSvGLS.pdf").read_bytes())
    assert "for fitting linear mixed\nmodels are based on sparse matrix methods" in pdf.text
    assert pdf.headings[0].title.startswith("Penalized least squares versus generalized")
    assert pdf.notes == ("running headers and footers of 7 pages left out (page numbers)",)
