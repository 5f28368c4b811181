import random

import pytest
from office_files import zipped

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read import read

S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="d&quot;th of&quot; mmm yyyy"/>'
    '<numFmt numFmtId="165" formatCode="[Red]0.0%"/><numFmt numFmtId="166" formatCode="[h]:mm:ss"/>'
    '<numFmt numFmtId="167" formatCode="&quot;days&quot; 0.00"/></numFmts><cellXfs>'
    + "".join(f'<xf numFmtId="{n}"/>' for n in (0, 14, 22, 20, 164, 165, 166, 167))
    + "</cellXfs>"
)


def xlsx(
    *sheets: str,
    strings: str = "",
    names: tuple[tuple[str, str], ...] = (),
    settings: str = "",
    more: dict[str, str] | None = None,
) -> bytes:
    """A workbook of sheets, each the inside of its part; `names` are (name, state)."""
    names = names or tuple((f"Sheet{n}", "visible") for n in range(1, len(sheets) + 1))
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" state="{state}" r:id="s{n}"/>'
        for n, (name, state) in enumerate(names, 1)
    )
    relations = "".join(
        f'<Relationship Id="s{n}" Type="{R}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    relations += f'<Relationship Id="x1" Type="{R}/styles" Target="styles.xml"/>'
    relations += f'<Relationship Id="x2" Type="{R}/sharedStrings" Target="/xl/sharedStrings.xml"/>'
    top = f'<Relationship Id="r" Target="xl/workbook.xml" Type="{R}/officeDocument"/>'
    listed = f"<sheets>{listed}</sheets>"
    files = {
        "_rels/.rels": f'<Relationships xmlns="{RELS}">{top}</Relationships>',
        "xl/workbook.xml": f'<workbook {S} xmlns:r="{R}">{settings}{listed}</workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{RELS}">{relations}</Relationships>',
        "xl/styles.xml": f"<styleSheet {S}>{STYLES}</styleSheet>",
        "xl/sharedStrings.xml": f"<sst {S}>{strings}</sst>",
    }
    for number, sheet in enumerate(sheets, 1):
        files[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {S}>{sheet}</worksheet>"
    return zipped(files | (more or {}))


def rows(*rows: str) -> str:
    return f"<sheetData>{''.join(rows)}</sheetData>"


def row(number: int, *cells: str, more: str = "") -> str:
    return f'<row r="{number}"{more}>{"".join(cells)}</row>'


def c(place: str, value: str, more: str = "") -> str:
    return f'<c r="{place}"{more}><v>{value}</v></c>'


def document(data: bytes) -> Document:
    item = read(Source("a.xlsx", data=data))
    assert isinstance(item, Document), item
    return item


def test_sheets_are_pages_and_rows_have_addresses_where_cells_begin() -> None:
    book = document(
        xlsx(
            rows(
                row(1, c("A1", "0", ' t="s"'), c("B1", "1", ' t="s"')),
                row(3, c("B3", "2"), c("C3", "3.5"), c("E3", "1", ' t="b"')),
            ),
            rows(row(1, c("AA1", "7"))),
            strings="<si><t>Name</t></si><si><r><t>Am</t></r><r><t>ount</t></r><rPh><t>x</t></rPh></si>",
            names=(("Costs", "visible"), ("Secret", "hidden")),
        )
    )
    assert book.text == (
        'Sheet "Costs"\n\nA1: Name | Amount\nB3: 2 | 3.5 | E3: TRUE\n\n'
        'Sheet "Secret" (hidden)\n\nAA1: 7\n'
    )
    assert [(page.number, page.unit, book.text[page.start :][:9]) for page in book.pages] == [
        (1, "sheet", 'Sheet "Co'),
        (2, "sheet", 'Sheet "Se'),
    ]
    assert [heading.title for heading in book.headings] == ["Costs", "Secret"]
    assert book.notes == ("hidden sheet: Secret",)
    assert str(book.span(book.text.index("AA1"), len(book.text))) == "a.xlsx, sheet 2"


@pytest.mark.parametrize(
    ("style", "value", "shown"),
    [
        (0, "0.30000000000000004", "0.3"),
        (0, "1E+20", "1e+20"),
        (0, "-12", "-12"),
        (1, "45352", "2024-03-01"),
        (1, "1", "1900-01-01"),
        (1, "61", "1900-03-01"),
        (2, "45352.604166666664", "2024-03-01 14:30"),
        (3, "0.5", "12:00"),
        (4, "45352", "2024-03-01"),
        (5, "0.125", "12.5%"),
        (6, "1.5", "36:00:00"),
        (7, "3.25", "3.25"),
        (1, "1e300", "1e+300"),
        (99, "5", "5"),
    ],
)
def test_numbers_are_dates_where_their_format_says_so(style: int, value: str, shown: str) -> None:
    book = document(xlsx(rows(row(1, c("A1", value, f' s="{style}"')))))
    assert book.text.splitlines()[2] == f"A1: {shown}"


def test_a_workbook_may_count_its_days_from_1904() -> None:
    day = rows(row(1, c("A1", "43890", ' s="1"')))
    book = document(xlsx(day, settings='<workbookPr date1904="1"/>'))
    assert "A1: 2024-03-01" in book.text


def test_formulas_show_their_last_value_or_themselves() -> None:
    cells = '<c r="A1"><f>SUM(B1:B2)</f><v>3</v></c><c r="B1"><f>1+1</f></c>'
    cells += '<c r="C1" t="e"><f>1/0</f><v>#DIV/0!</v></c><c r="D1" t="str"><f>x</f><v>ab</v></c>'
    cells += '<c r="E1" t="inlineStr"><is><t>in\nline</t></is></c>'
    book = document(xlsx(rows(f'<row r="1">{cells}</row>')))
    assert "A1: 3 | =1+1 | #DIV/0! | ab | in line\n" in book.text


def test_merged_cells_hidden_rows_and_comments_are_told() -> None:
    sheet = rows(row(1, c("A1", "5")), row(2, c("A2", "6"), more=' hidden="1"'))
    sheet += '<mergeCells><mergeCell ref="A1:C1"/></mergeCells>'
    comments = f"<comments {S}><authors><author>Ann</author></authors><commentList>"
    comments += '<comment ref="A2" authorId="0"><text><r><t>Why?</t></r></text></comment>'
    comments += "</commentList></comments>"
    relation = f'<Relationship Id="c" Type="{R}/comments" Target="../comments1.xml"/>'
    book = document(
        xlsx(
            sheet,
            more={
                "xl/comments1.xml": comments,
                "xl/worksheets/_rels/sheet1.xml.rels": (
                    f'<Relationships xmlns="{RELS}">{relation}</Relationships>'
                ),
            },
        )
    )
    assert book.text.splitlines()[2:] == ["A1:C1: 5", "A2: 6", "", "[Comment on A2 by Ann: Why?]"]
    assert book.notes == ("sheet Sheet1 has hidden rows, which are read",)


def test_cells_without_addresses_follow_each_other() -> None:
    book = document(xlsx("<sheetData><row><c><v>1</v></c><c><v>2</v></c></row></sheetData>"))
    assert book.text.splitlines()[2] == "A1: 1 | 2"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04", "damaged, or not a zip file"),
        (zipped({"xl/workbook.xml": "<workbook/>"}), "damaged: no sheets in it"),
        (zipped({"xl/other.xml": "<x/>"}), "damaged: no sheets in it"),
        (xlsx(rows(), more={"xl/styles.xml": "<!DOCTYPE a><a/>"}), "refused: XML that declares"),
    ],
)
def test_bad_workbooks_are_skipped_with_the_reason(data: bytes, reason: str) -> None:
    item = read(Source("a.xlsx", data=data))
    assert isinstance(item, Skipped) and item.reason.startswith(reason)


def test_every_cell_leads_back_to_its_place_in_the_sheet() -> None:
    chance = random.Random(9)
    for _ in range(20):
        places = sorted(chance.sample([(r, col) for r in range(1, 9) for col in range(12)], 20))
        texts = {place: f"w{chance.randrange(10**6)}é—{chance.randrange(99)}" for place in places}
        parts = []
        for number in range(1, 9):
            cells = [
                f'<c r="{chr(65 + col)}{r}" t="inlineStr"><is><t>{texts[r, col]}</t></is></c>'
                for r, col in places
                if r == number
            ]
            parts.append(row(number, *cells))
        found = {}
        for line in document(xlsx(rows(*parts))).text.splitlines()[2:]:
            column = 0
            for piece in line.split(" | "):
                place, colon, text = piece.rpartition(": ")
                column = ord(place[0]) - 65 if colon else column + 1
                number = int(place[1:]) if colon else number
                found[number, column] = text
        assert found == texts
