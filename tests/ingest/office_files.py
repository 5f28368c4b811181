"""Office files written by hand, part by part, for the tests of their readers."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

W = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    ' xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"'
    ' xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'
)
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_PARTS = {
    "styles": ("w:styles", "styles+xml"),
    "numbering": ("w:numbering", "numbering+xml"),
    "settings": ("w:settings", "settings+xml"),
    "footnotes": ("w:footnotes", "footnotes+xml"),
    "endnotes": ("w:endnotes", "endnotes+xml"),
    "comments": ("w:comments", "comments+xml"),
    "header1": ("w:hdr", "header+xml"),
    "header2": ("w:hdr", "header+xml"),
    "footer1": ("w:ftr", "footer+xml"),
}
START = '<w:start w:val="1"/>'
BY = 'w:author="Ann" w:date="2026-03-01T10:00:00Z"'


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip file of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(body: str, **parts: str) -> bytes:
    """A DOCX with this body; `parts` holds the insides of `styles`, `numbering`, `footnotes` …

    A relation to each part has its name as the id.
    """
    relations = "".join(
        f'<Relationship Id="{name}" Type="{_RELATION}{name.rstrip("12")}" Target="{name}.xml"/>'
        for name in parts
    )
    overrides = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{_TYPE}{_PARTS[name][1]}"/>'
        for name in parts
    )
    files = {
        "[Content_Types].xml": (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{_TYPE}document.main+xml"/>'
            f"{overrides}</Types>"
        ),
        "_rels/.rels": _relations(
            f'<Relationship Id="r1" Type="{_RELATION}officeDocument" Target="word/document.xml"/>'
        ),
        "word/_rels/document.xml.rels": _relations(relations),
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
    }
    for name, inside in parts.items():
        root = _PARTS[name][0]
        files[f"word/{name}.xml"] = f"<{root} {W}>{inside}</{root}>"
    return zipped(files)


def _relations(inside: str) -> str:
    namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{namespace}">{inside}</Relationships>'


def t(text: str, properties: str = "") -> str:
    """A run of text."""
    run = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{run}<w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def p(*content: str, style: str = "", num: tuple[int, int] | None = None, more: str = "") -> str:
    """A paragraph; content that is no XML is text, `num` is a list's id and the level."""
    inside = "".join(item if item.startswith("<") else t(item) for item in content)
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if num is not None:
        numbering = f'<w:ilvl w:val="{num[1]}"/><w:numId w:val="{num[0]}"/>'
        properties += f"<w:numPr>{numbering}</w:numPr>"
    properties += more
    return f"<w:p>{f'<w:pPr>{properties}</w:pPr>' if properties else ''}{inside}</w:p>"


def ins(*content: str) -> str:
    """An insertion of Ann's."""
    inside = "".join(item if item.startswith("<") else t(item) for item in content)
    return f'<w:ins w:id="1" {BY}>{inside}</w:ins>'


def dele(text: str) -> str:
    """A deletion of Ann's."""
    run = f'<w:r><w:delText xml:space="preserve">{escape(text)}</w:delText></w:r>'
    return f'<w:del w:id="2" {BY}>{run}</w:del>'


def mark(tag: str) -> str:
    """For the properties of a paragraph: its end was changed."""
    return f'<w:rPr><w:{tag} w:id="3" {BY}/></w:rPr>'


def abstract(number: int, *levels: tuple[str, str] | str, more: str = "") -> str:
    """A list definition of levels, each a format and a text, or the whole inside of a level."""
    inside = "".join(
        f'<w:lvl w:ilvl="{place}">'
        + (
            level
            if isinstance(level, str)
            else f'{START}<w:numFmt w:val="{level[0]}"/><w:lvlText w:val="{level[1]}"/>'
        )
        + "</w:lvl>"
        for place, level in enumerate(levels)
    )
    kind = '<w:multiLevelType w:val="multilevel"/>'
    return f'<w:abstractNum w:abstractNumId="{number}">{kind}{more}{inside}</w:abstractNum>'


def num(number: int, of: int, more: str = "") -> str:
    """A list that paragraphs name, of a list definition."""
    inside = f'<w:abstractNumId w:val="{of}"/>{more}'
    return f'<w:num w:numId="{number}">{inside}</w:num>'


def field(code: str, result: str) -> str:
    """A field with its code and its result."""
    sign = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    instruction = f'<w:r><w:instrText xml:space="preserve"> {code} </w:instrText></w:r>'
    begin, separate, end = map(sign.format, ("begin", "separate", "end"))
    return f"{begin}{instruction}{separate}{t(result)}{end}"


def note(number: int, kind: str = "footnote") -> str:
    """A reference to a footnote or an endnote."""
    return f'<w:r><w:{kind}Reference w:id="{number}"/></w:r>'


def notes(kind: str, *texts: str) -> str:
    """The footnotes or endnotes of these texts, numbered from 1."""
    return "".join(
        f'<w:{kind} w:id="{number}">{p(f"<w:r><w:{kind}Ref/></w:r>", t(f" {text}"))}</w:{kind}>'
        for number, text in enumerate(texts, 1)
    )


def table(*rows: str) -> str:
    """A table of rows."""
    grid = "<w:gridCol/>" * max(row.count("<w:tc>") for row in rows)
    return f"<w:tbl><w:tblPr/><w:tblGrid>{grid}</w:tblGrid>{''.join(rows)}</w:tbl>"


def row(*cells: str, more: str = "") -> str:
    """A row; a cell that is no XML is a paragraph of text."""
    inside = "".join(cell if cell.startswith("<w:tc>") else tc(cell) for cell in cells)
    return f"<w:tr>{f'<w:trPr>{more}</w:trPr>' if more else ''}{inside}</w:tr>"


def tc(*paragraphs: str, more: str = "") -> str:
    """A cell."""
    inside = "".join(item if item.startswith("<w:") else p(item) for item in paragraphs)
    return f"<w:tc>{f'<w:tcPr>{more}</w:tcPr>' if more else ''}{inside}</w:tc>"


def text_box(text: str) -> str:
    """A run with a text box in the new form and in the old one, as Word writes it."""
    anchor = '<wp:position{0} relativeFrom="{1}"><wp:posOffset>0</wp:posOffset></wp:position{0}>'
    place = anchor.format("H", "column") + anchor.format("V", "paragraph")
    content = f"<w:txbxContent>{p(text)}</w:txbxContent>"
    shape = (
        '<wps:wsp><wps:cNvSpPr txBox="1"/><wps:spPr><a:xfrm><a:off x="0" y="0"/>'
        '<a:ext cx="2000000" cy="500000"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom>'
        f"</wps:spPr><wps:txbx>{content}</wps:txbx><wps:bodyPr/></wps:wsp>"
    )
    drawing = (
        '<w:drawing><wp:anchor distT="0" distB="0" distL="0" distR="0" simplePos="0"'
        ' relativeHeight="1" behindDoc="0" locked="0" layoutInCell="1" allowOverlap="1">'
        f'<wp:simplePos x="0" y="0"/>{place}<wp:extent cx="2000000" cy="500000"/>'
        '<wp:effectExtent l="0" t="0" r="0" b="0"/><wp:wrapTopAndBottom/>'
        '<wp:docPr id="1" name="Box"/><wp:cNvGraphicFramePr/><a:graphic><a:graphicData'
        ' uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">'
        f"{shape}</a:graphicData></a:graphic></wp:anchor></w:drawing>"
    )
    old = f"<w:pict><v:shape><v:textbox>{content}</v:textbox></v:shape></w:pict>"
    return (
        f'<w:r><mc:AlternateContent><mc:Choice Requires="wps">{drawing}</mc:Choice>'
        f"<mc:Fallback>{old}</mc:Fallback></mc:AlternateContent></w:r>"
    )


def control(content: str) -> str:
    """A content control."""
    properties = '<w:sdtPr><w:alias w:val="Name"/></w:sdtPr>'
    return f"<w:sdt>{properties}<w:sdtContent>{content}</w:sdtContent></w:sdt>"


def level(style: str, text: str, linked: str = "", more: str = "") -> str:
    """The inside of a level of a list definition, with a space after its number."""
    link = f'<w:pStyle w:val="{linked}"/>' if linked else ""
    return (
        f'{START}<w:numFmt w:val="{style}"/>{link}{more}<w:suff w:val="space"/>'
        f'<w:lvlText w:val="{text}"/>'
    )


def paragraph_style(name: str, title: str, based: str = "", more: str = "") -> str:
    """A paragraph style with an id, a name, what it is based on and its properties."""
    base = f'<w:basedOn w:val="{based}"/>' if based else ""
    default = "" if based else ' w:default="1"'
    return (
        f'<w:style w:type="paragraph"{default} w:styleId="{name}"><w:name w:val="{title}"/>{base}'
        f"{f'<w:pPr>{more}</w:pPr>' if more else ''}</w:style>"
    )


SECTION = (
    '<w:sectPr><w:headerReference w:type="default" r:id="header1"/>'
    '<w:footerReference w:type="default" r:id="footer1"/>'
    '<w:pgSz w:w="11906" w:h="16838"/></w:sectPr>'
)


def contract() -> bytes:
    """A contract with tracked changes, nested numbering, notes, a comment and content controls."""
    styles = "".join(
        (
            paragraph_style("Normal", "Normal"),
            paragraph_style(
                "H1",
                "heading 1",
                "Normal",
                '<w:numPr><w:numId w:val="1"/></w:numPr><w:outlineLvl w:val="0"/>',
            ),
            paragraph_style(
                "H2",
                "heading 2",
                "H1",
                '<w:numPr><w:ilvl w:val="1"/></w:numPr><w:outlineLvl w:val="1"/>',
            ),
            paragraph_style("Inherited", "Clause Heading", "H2"),
        )
    )
    numbering = "".join(
        (
            abstract(
                0,
                level("decimal", "%1.", "H1"),
                level("decimal", "%1.%2", "H2"),
                level("lowerLetter", "(%3)"),
                level("lowerRoman", "(%4)"),
            ),
            abstract(1, ("decimal", "%1."), ("upperLetter", "%2)")),
            abstract(2, ("bullet", "\uf0b7"), ("bullet", "o")),
            abstract(
                3,
                level("upperRoman", "Article %1."),
                level("decimal", "Section %1.%2"),
                level("decimalZero", "%3)"),
            ),
            num(1, 0),
            num(2, 1),
            num(
                3,
                1,
                '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>',
            ),
            num(4, 2),
            num(5, 3),
        )
    )
    former = '<w:pPr><w:pStyle w:val="H1"/></w:pPr>'
    gone = [tc(p(dele(text), more=mark("del"))) for text in ("Gone", "7", "old")]
    new = [tc(p(ins(text), more=mark("ins"))) for text in ("Fresh", "8", "new")]
    body = "".join(
        (
            p("Supply Agreement"),
            p("Definitions", style="H1"),
            p("Goods are the things in ", field("DOCPROPERTY x", "Schedule 1"), ".", style="H2"),
            p("Payment", style="H1"),
            p(
                "The Buyer pays within ",
                dele("thirty (30)"),
                ins("sixty (60)"),
                " days",
                note(1),
                ".",
                style="H2",
            ),
            p("late payment bears interest; and", num=(1, 2)),
            p("the Seller may:", num=(1, 2)),
            p("suspend, or", num=(1, 3)),
            p(ins("charge, or"), num=(1, 3), more=mark("ins")),
            p("terminate.", num=(1, 3)),
            p(dele("This clause goes."), style="Inherited", more=mark("del")),
            p("Invoices are sent by mail", style="Inherited", more=mark("del")),
            p(" and by post.", style="Inherited"),
            p("One paragraph", more=mark("ins")),
            p(" split in two."),
            p("First step", num=(2, 0)),
            p("Inner step", num=(2, 1)),
            p("Second step", num=(2, 0)),
            p("Fifth step", num=(3, 0)),
            p("Sixth step", num=(2, 0)),
            p("Bullet", num=(4, 0)),
            p("Inner bullet", num=(4, 1)),
            p("Scope", num=(5, 0)),
            p("Wide", num=(5, 1)),
            p("detail", num=(5, 2)),
            p("Term", num=(5, 0)),
            p("Long", num=(5, 1)),
            control(p("A controlled paragraph with ", control(t("a control")), " inside.")),
            p(
                "A link to ",
                f'<w:hyperlink w:anchor="x">{t("the web")}</w:hyperlink>',
                "<w:r><w:tab/></w:r>",
                "a tab",
                "<w:r><w:br/></w:r>",
                "and a break.",
            ),
            table(
                row("Item", "Price", "Note"),
                row("Widget", "12", tc("first", "second")),
                row(*gone, more=f'<w:del w:id="9" {BY}/>'),
                row(*new, more=f'<w:ins w:id="10" {BY}/>'),
                row(tc("Total", more='<w:gridSpan w:val="2"/>'), "12"),
            ),
            p("Boxed here.", text_box("Boxed warning")),
            p(f'<w:moveFrom w:id="20" {BY}>{t("Moved text.")}</w:moveFrom>', " Stays."),
            p("Target: ", f'<w:moveTo w:id="21" {BY}>{t("Moved text.")}</w:moveTo>'),
            p(
                '<w:commentRangeStart w:id="0"/>',
                "Remarkable",
                '<w:commentRangeEnd w:id="0"/><w:r><w:commentReference w:id="0"/></w:r>',
                " end.",
                note(1, "endnote"),
                note(2),
            ),
            p(
                "Was a heading",
                more=f'<w:pPrChange w:id="30" {BY}>{former}</w:pPrChange>',
            ),
            p("Last", style="H1"),
            SECTION,
        )
    )
    return docx(
        body,
        styles=styles,
        numbering=numbering,
        footnotes=notes("footnote", "Calendar days.", "Second note."),
        endnotes=notes("endnote", "At the end."),
        comments=f'<w:comment w:id="0" {BY}>{p("Is it?")}</w:comment>',
        header1=p("ACME confidential"),
        footer1=p("Page ", field("PAGE", "1")),
    )
