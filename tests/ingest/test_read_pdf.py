from pathlib import Path

import pytest

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.read_pdf import read_pdf


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


def read(data: bytes) -> Document | Skipped:
    return read_pdf(Source("a.pdf", data=data), data)


def document(data: bytes) -> Document:
    item = read(data)
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
    assert pdf.text == "an international well-known law\n"


def test_a_compound_keeps_its_hyphen_at_a_line_end() -> None:
    pdf = document(
        make_pdf(
            [["a non-native package, non-", "native too, Build-", "Depends and inter-", "nal"]]
        )
    )
    assert pdf.text == "a non-native package, non-native too, Build-Depends and internal\n"


def test_pages_without_text_are_named() -> None:
    pdf = document(make_pdf([["one"], [], [], ["four"], []]))
    assert pdf.notes == ("no text layer: pages 2-3, 5",)
    assert pdf.page_at(pdf.text.index("four")) == 4


def test_a_pdf_without_any_text_is_skipped_as_scanned() -> None:
    assert read(make_pdf([[], []])) == Skipped("a.pdf", "scanned: no text layer")


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


def test_an_encrypted_file_says_that_it_needs_a_password(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    plain = tmp_path / "plain.pdf"
    plain.write_bytes(make_pdf([["secret text"]]))
    writer = PdfWriter(clone_from=PdfReader(plain))
    writer.encrypt("password", algorithm="RC4-128")
    with open(tmp_path / "locked.pdf", "wb") as file:
        writer.write(file)
    data = (tmp_path / "locked.pdf").read_bytes()
    assert read(data) == Skipped("a.pdf", "encrypted: it needs a password")


def test_what_pdfium_refuses_is_read_by_pypdf(monkeypatch: pytest.MonkeyPatch) -> None:
    import pypdfium2

    def refuse(data: bytes) -> None:
        raise pypdfium2.PdfiumError("Failed to load document (PDFium: Data format error).")

    monkeypatch.setattr(pypdfium2, "PdfDocument", refuse)
    pdf = document(make_pdf([["First page"], ["Second page"]]))
    assert pdf.text == "First page\nSecond page\n"
    assert len(pdf.pages) == 2


def test_ligatures_without_a_name_are_told_by_their_letters() -> None:
    from longctx.ingest.read_pdf import _clean

    assert (
        _clean("the \x1cnal e\x1bect of \x1ductuation \x1c 1")
        == "the final effect of fluctuation  1\n"
    )
    assert _clean("\ufb01ne o\ufb03ce") == "fine office\n"
    assert _clean("1.1 Scope . . . . . . . . 12") == "1.1 Scope ... 12\n"


def test_text_in_a_font_without_an_encoding_is_called_garbled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from longctx.ingest import read_pdf as reader

    monkeypatch.setattr(reader, "_with_pdfium", lambda data: (["❧❡❛st sq✉❛r❡s ✈❡rs✉s"], []))
    assert document(b"").notes == ("garbled: a font without a usable encoding",)
