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
            else f'<w:start w:val="1"/><w:numFmt w:val="{level[0]}"/><w:lvlText w:val="{level[1]}"/>'
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
