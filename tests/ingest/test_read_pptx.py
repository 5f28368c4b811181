import random

import pytest
from office_files import zipped

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.read import read

R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
P = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    f' xmlns:r="{R}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)


def relations(*items: tuple[str, str, str]) -> str:
    inside = "".join(
        f'<Relationship Id="{name}" Type="{R}/{kind}" Target="{target}"/>'
        for name, kind, target in items
    )
    return f'<Relationships xmlns="{RELS}">{inside}</Relationships>'


def pptx(*slides: str, notes: dict[int, str] | None = None, attributes: str = "") -> bytes:
    """A presentation of slides, each the inside of its tree of shapes."""
    ids = "".join(f'<p:sldId id="{n}" r:id="s{n}"/>' for n in range(1, len(slides) + 1))
    ids = f"<p:sldIdLst>{ids}</p:sldIdLst>"
    main = [(f"s{n}", "slide", f"slides/slide{n}.xml") for n in range(1, len(slides) + 1)]
    files = {
        "_rels/.rels": relations(("r", "officeDocument", "ppt/presentation.xml")),
        "ppt/presentation.xml": f"<p:presentation {P}>{ids}</p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(*main),
    }
    tree = "<p:cSld><p:spTree>{}</p:spTree></p:cSld>"
    for number, slide in enumerate(slides, 1):
        name = f"ppt/slides/slide{number}.xml"
        files[name] = f"<p:sld {P}{attributes}>{tree.format(slide)}</p:sld>"
    for number, note in (notes or {}).items():
        files[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(
            ("n", "notesSlide", f"../notesSlides/n{number}.xml")
        )
        files[f"ppt/notesSlides/n{number}.xml"] = f"<p:notes {P}>{tree.format(note)}</p:notes>"
    return zipped(files)


def shape(*paragraphs: str, kind: str = "") -> str:
    holder = f'<p:nvPr><p:ph type="{kind}"/></p:nvPr>' if kind else "<p:nvPr/>"
    body = "".join(item if item.startswith("<a:p>") else line(item) for item in paragraphs)
    return f"<p:sp><p:nvSpPr>{holder}</p:nvSpPr><p:txBody>{body}</p:txBody></p:sp>"


def line(text: str, properties: str = "") -> str:
    return f"<a:p>{properties}<a:r><a:t>{text}</a:t></a:r></a:p>"


def document(data: bytes, name: str = "a.pptx") -> Document:
    item = read(Source(name, data=data))
    assert isinstance(item, Document), item
    return item


def test_slides_are_pages_with_titles_first_and_notes_last() -> None:
    slides = document(
        pptx(
            shape("first point", "second")
            + shape("The title", kind="title")
            + shape("7", kind="sldNum"),
            shape("Other", kind="ctrTitle"),
            notes={1: shape("Say this.") + shape("x", kind="sldImg")},
        )
    )
    assert slides.text == ("The title\n\nfirst point\nsecond\n\n[Notes: Say this.]\n\nOther\n")
    assert slides.headings == (Heading(0, "The title", 1), Heading(51, "Other", 1))
    assert [slides.text[page.start : page.end].split("\n")[0] for page in slides.pages] == [
        "The title",
        "Other",
    ]
    assert str(slides.span(51, 56)) == "a.pptx, slide 2"


def test_numbers_levels_tables_groups_and_alternatives() -> None:
    numbered = '<a:pPr><a:buAutoNum type="{}"/></a:pPr>'
    first = shape(
        line("one", numbered.format("arabicPeriod")),
        line("inner", '<a:pPr lvl="1"><a:buAutoNum type="alphaLcParenBoth"/></a:pPr>'),
        line("two", numbered.format("arabicPeriod")),
        line("plain"),
        line("three", '<a:pPr><a:buAutoNum type="romanUcParenR" startAt="3"/></a:pPr>'),
    )
    cell = "<a:tc><a:txBody>{}</a:txBody></a:tc>".format
    rows = "".join(
        f"<a:tr>{cell(line(a))}{cell(line(b))}</a:tr>" for a, b in (("x", "y"), ("1", "2"))
    )
    table = f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData>"
    table += "</a:graphic></p:graphicFrame>"
    twice = f"<mc:AlternateContent><mc:Choice>{shape('once')}</mc:Choice>"
    twice += f"<mc:Fallback>{shape('once')}</mc:Fallback></mc:AlternateContent>"
    slide = first + table + f"<p:grpSp><p:nvGrpSpPr/>{shape('grouped')}</p:grpSp>" + twice
    assert [text for text in document(pptx(slide)).text.split("\n") if text] == [
        "1. one",
        "  (a) inner",
        "2. two",
        "plain",
        "III) three",
        "| x | y |",
        "| 1 | 2 |",
        "grouped",
        "once",
    ]


def test_hidden_and_empty_slides_are_named() -> None:
    slides = document(pptx(shape("text"), "", attributes=' show="0"'))
    assert slides.notes == ("slide 1 is hidden", "slide 2 is hidden", "slides without text: 1")
    assert len(slides.pages) == 2


def test_every_line_leads_back_to_its_slide() -> None:
    chance = random.Random(7)
    for _ in range(20):
        texts = [
            ["".join(chance.choices("abé第三😀", k=9)) for _ in range(chance.randint(1, 5))]
            for _ in range(chance.randint(1, 6))
        ]
        found = document(pptx(*(shape(*lines) for lines in texts)))
        assert [found.text[page.start : page.end].split() for page in found.pages] == texts
        for page, lines in zip(found.pages, texts, strict=True):
            start = found.text.index(lines[0], page.start)
            assert found.span(start, start + 9).first_page == page.number


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04", "damaged, or not a zip file"),
        (zipped({"a": "b"}), "damaged: no slides in it"),
        (pptx("", ""), "no text in it; slides without text: 2"),
        (pptx("<p:grpSp>" * 3000 + "</p:grpSp>" * 3000), "refused: groups nested without end"),
    ],
)
def test_bad_presentations_are_skipped_with_the_reason(data: bytes, reason: str) -> None:
    assert read(Source("a.pptx", data=data)) == Skipped("a.pptx", reason)
