import random

import pytest
from office_files import zipped

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read import read
from longctx.ingest.read_settings import Changes, ReadSettings

NAMES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("style", "style"),
        ("draw", "drawing"),
    )
)
NAMES += ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
LISTS = (
    '<text:list-style style:name="L"><text:list-level-style-number text:level="1"'
    ' style:num-format="1" style:num-suffix="."/><text:list-level-style-number text:level="2"'
    ' style:num-format="a" style:num-prefix="(" style:num-suffix=")"/></text:list-style>'
    '<text:list-style style:name="B"><text:list-level-style-bullet text:level="1"'
    ' text:bullet-char="•"/></text:list-style>'
)
OUTLINE = (
    '<text:outline-style style:name="Outline"><text:outline-level-style text:level="1"'
    ' style:num-format="1" style:num-suffix="."/><text:outline-level-style text:level="2"'
    ' style:num-format="1" text:display-levels="2"/></text:outline-style>'
)


def odt(body: str, *, styles: str = "", lists: str = LISTS, **more: str) -> bytes:
    content = f"<office:document-content {NAMES}><office:automatic-styles>{lists}"
    content += f"</office:automatic-styles><office:body><office:text>{body}</office:text>"
    content += "</office:body></office:document-content>"
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": content,
            "styles.xml": f"<office:document-styles {NAMES}>{styles}</office:document-styles>",
            **more,
        }
    )


def document(data: bytes, changes: str = "accept", name: str = "a.odt") -> Document:
    item = read(Source(name, data=data), ReadSettings(Changes(changes)))
    assert isinstance(item, Document), item
    return item


def lines(body: str, **more: str) -> list[str]:
    return [line for line in document(odt(body, **more)).text.split("\n") if line]


def p(text: str) -> str:
    return f"<text:p>{text}</text:p>"


def items(*inside: str, more: str = ' text:style-name="L"') -> str:
    listed = "".join(f"<text:list-item>{item}</text:list-item>" for item in inside)
    return f"<text:list{more}>{listed}</text:list>"


def test_white_space_counts_once_and_signs_stand_for_more() -> None:
    text = "a\n   b<text:s text:c='3'/>c<text:tab/>d<text:line-break/>e<text:soft-page-break/>f"
    assert lines(p(f"  {text} <text:span>g<text:a>h</text:a></text:span>i ")) == [
        "a b   c\td",
        "ef ghi",
    ]


def test_headings_are_numbered_by_the_outline_and_have_levels() -> None:
    def h(level: int, text: str) -> str:
        return f'<text:h text:outline-level="{level}">{text}</text:h>'

    data = odt(
        h(1, "One") + h(2, "Inner") + h(2, "Next") + h(1, "Two") + h(2, "Last"), styles=OUTLINE
    )
    assert [(item.title, item.level) for item in document(data).headings] == [
        ("1. One", 1),
        ("1.1 Inner", 2),
        ("1.2 Next", 2),
        ("2. Two", 1),
        ("2.1 Last", 2),
    ]
    assert "1.2 Next\n\n2. Two\n" in document(data).text


def test_lists_nest_go_on_and_start_anew() -> None:
    body = (
        items(p("a") + items(p("b"), p("c"), more=""), p("d") + p("more of d"))
        + items(p("e"), more=' text:style-name="L" text:continue-numbering="true"')
        + items(p("f"))
        + items(p("x"), p("y"), more=' text:style-name="B"')
    )
    assert lines(body) == [
        "1. a",
        "(a) b",
        "(b) c",
        "2. d",
        "more of d",
        "3. e",
        "1. f",
        "• x",
        "• y",
    ]


def test_a_form_of_a_whole_number_is_followed() -> None:
    level = '<text:list-level-style-number text:level="{0}" style:num-format="1" {1}/>'.format
    own = f'<text:list-style style:name="L">{level(1, "")}'
    own += level(2, 'style:num-list-format="§ %1%.%2%:"') + "</text:list-style>"
    assert lines(items(p("a") + items(p("b"), more="")), lists=own) == ["1 a", "§ 1.1: b"]


def test_notes_comments_boxes_and_margins() -> None:
    note = '<text:note text:note-class="{0}"><text:note-citation>{1}</text:note-citation>'
    note += "<text:note-body><text:p>{2}</text:p></text:note-body></text:note>"
    comment = (
        "<office:annotation><dc:creator>Ann</dc:creator><dc:date>2026-03-01T10:00:00</dc:date>"
    )
    comment += "<text:p>Why?</text:p></office:annotation>"
    box = "<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame>"
    styles = "<style:header><text:p>top</text:p></style:header>"
    styles += "<style:footer><text:p>bottom</text:p></style:footer>"
    text = (
        f"x{note.format('footnote', 1, 'foot')}y{note.format('endnote', 'i', 'end')}{comment}{box}"
    )
    assert lines(p(text), styles=styles) == [
        "[Header: top]",
        "x[^1]y[^i]",
        "[^1]: foot",
        "[Comment by Ann, 2026-03-01: Why?]",
        "boxed",
        "[^i]: end",
        "[Footer: bottom]",
    ]


def test_tables_are_rows_and_sections_are_read() -> None:
    def cell(text: str, more: str = "") -> str:
        return f"<table:table-cell{more}>{p(text)}</table:table-cell>"

    rows = f"<table:table-row>{cell('a')}{cell('b')}</table:table-row>"
    rows = f"<table:table-header-rows>{rows}</table:table-header-rows><table:table-row>"
    rows += cell("c", ' table:number-columns-spanned="2"') + "<table:covered-table-cell/>"
    table = f"<table:table>{rows}</table:table-row></table:table>"
    assert lines(f"<text:section>{p('before')}{table}</text:section>") == [
        "before",
        "| a | b |",
        "| c |  |",
    ]


def changed(*regions: str) -> str:
    info = "<office:change-info><dc:creator>Ann</dc:creator></office:change-info>"
    listed = "".join(
        f'<text:changed-region xml:id="c{number}">{region.replace("@", info)}</text:changed-region>'
        for number, region in enumerate(regions)
    )
    return f"<text:tracked-changes>{listed}</text:tracked-changes>"


ADDED = "<text:insertion>@</text:insertion>"


def removed(*texts: str) -> str:
    return f"<text:deletion>@{''.join(map(p, texts))}</text:deletion>"


def start(number: int) -> str:
    return f'<text:change-start text:change-id="c{number}"/>'


def end(number: int) -> str:
    return f'<text:change-end text:change-id="c{number}"/>'


def gone(number: int) -> str:
    return f'<text:change text:change-id="c{number}"/>'


@pytest.mark.parametrize(
    ("changes", "text", "done"),
    [
        ("accept", "Pay 20 days after it.\n\nNew.\n\nOld.\n", "accepted"),
        ("reject", "Pay 10 days after.\n\nOld.\n", "rejected"),
        (
            "show",
            "Pay [-10-]{+20+} days after{+ it+}.\n\n{+New.+}\n\nOld.\n",
            "shown as {+ +} [- -]",
        ),
    ],
)
def test_tracked_changes_are_accepted_rejected_or_shown(changes: str, text: str, done: str) -> None:
    regions = changed(removed("10"), ADDED, ADDED, ADDED)
    body = (
        p(
            f"Pay {gone(0)}{start(1)}20{end(1)} days after"
            f"<text:span>{start(2)} it{end(2)}</text:span>."
        )
        + p(f"{start(3)}New.")
        + p(f"{end(3)}Old.")
    )
    found = document(odt(regions + body), changes)
    assert found.text == text
    assert found.notes == (f"tracked changes {done}: 4, by Ann",)


def test_paragraphs_that_were_parted_or_joined_are_as_they_were_when_that_is_rejected() -> None:
    parted = changed(ADDED) + p(f"one {start(0)}") + p(f"{end(0)}two")
    assert document(odt(parted)).text == "one\n\ntwo\n"
    assert document(odt(parted), "reject").text == "one two\n"
    joined = changed(removed("a", "b")) + p(f"one {gone(0)} two")
    assert document(odt(joined)).text == "one  two\n"
    assert document(odt(joined), "reject").text == "one a\nb two\n"
    assert document(odt(joined), "show").text == "one [-a\nb-] two\n"
    # What was added at the very end, and a change that nothing is said of.
    assert document(odt(changed(ADDED) + p(f"one{start(0)} more")), "reject").text == "one\n"
    assert document(odt(p(f"a{start(5)}b{end(5)}{gone(6)}c")), "reject").text == "abc\n"


def test_items_that_are_rejected_are_not_counted() -> None:
    items = [p(f"first{start(0)}"), p(f"second{end(0)}"), p("third")]
    listed = "".join(f"<text:list-item>{item}</text:list-item>" for item in items)
    data = odt(f'{changed(ADDED)}<text:list text:style-name="L">{listed}</text:list>')
    assert document(data).text.split("\n\n") == ["1. first", "2. second", "3. third\n"]
    assert document(data, "reject").text.split("\n\n") == ["1. first", "2. third\n"]


def test_every_character_leads_back_to_the_xml() -> None:
    chance = random.Random(4)
    for _ in range(30):
        texts = [
            "".join(chance.choices("abc é第三条—😀", k=chance.randint(1, 20)))
            for _ in range(chance.randint(1, 9))
        ]
        expected = [" ".join(filter(None, text.split(" "))) for text in texts]
        body = "".join(p(f"{text[:3]}<text:span>{text[3:]}</text:span>") for text in texts)
        found = read(Source("a.odt", data=odt(body)))
        if any(expected):
            assert isinstance(found, Document)
            assert found.text.split() == " ".join(expected).split()
            assert found.text.count("\n\n") == len(list(filter(None, expected))) - 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04", "damaged, or not a zip file"),
        (zipped({"mimetype": "x"}), "damaged: no text part in it"),
        (odt("", **{"META-INF/manifest.xml": "<a:encryption-data/>"}), "encrypted: it needs"),
        (odt("<text:section>" * 3000 + "</text:section>" * 3000), "refused: lists or sections"),
        (odt(""), "no text in it"),
    ],
)
def test_bad_files_are_skipped_with_the_reason(data: bytes, reason: str) -> None:
    item = read(Source("a.odt", data=data))
    assert isinstance(item, Skipped) and item.reason.startswith(reason)
