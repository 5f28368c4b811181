import io
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from office_files import (
    BY,
    abstract,
    contract,
    control,
    dele,
    docx,
    field,
    ins,
    level,
    mark,
    note,
    notes,
    num,
    p,
    paragraph_style,
    row,
    t,
    table,
    tc,
    text_box,
    zipped,
)

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read import read
from longctx.ingest.read_settings import Changes, ReadSettings

DATA = Path(__file__).parents[1] / "data"
LEGAL = abstract(
    0,
    level("decimal", "%1."),
    level("decimal", "%1.%2"),
    level("lowerLetter", "(%3)"),
    level("lowerRoman", "(%4)"),
)


def item(data: bytes, changes: str = "accept", name: str = "a.docx") -> Document | Skipped:
    return read(Source(name, data=data), ReadSettings(Changes(changes)))


def document(data: bytes, changes: str = "accept") -> Document:
    found = item(data, changes)
    assert isinstance(found, Document), found
    return found


def lines(data: bytes, changes: str = "accept") -> list[str]:
    return [line for line in document(data, changes).text.split("\n") if line]


def titles(data: bytes) -> list[tuple[str, int]]:
    return [(heading.title, heading.level) for heading in document(data).headings]


def test_paragraphs_are_parted_by_blank_lines_and_headings_are_known() -> None:
    styles = (
        paragraph_style("N", "Normal")
        + paragraph_style("H1", "heading 1", "N")
        + paragraph_style("Own", "My title", "H1")
        + paragraph_style("Deep", "Deep", "N", '<w:outlineLvl w:val="2"/>')
    )
    data = docx(
        p("One", style="Own")
        + p("text")
        + p("Two", style="Deep")
        + p("three", more='<w:outlineLvl w:val="1"/>')
        + p("no heading", style="H1", more='<w:outlineLvl w:val="9"/>')
        + p("", style="H1"),
        styles=styles,
    )
    read_ = document(data)
    assert read_.text == "One\n\ntext\n\nTwo\n\nthree\n\nno heading\n"
    assert titles(data) == [("One", 1), ("Two", 3), ("three", 2)]
    assert [read_.text[h.start :].split("\n")[0] for h in read_.headings] == ["One", "Two", "three"]


def test_clause_numbers_stand_in_the_text_and_in_full_in_the_headings() -> None:
    body = "".join(
        p(text, num=(1, place))
        for text, place in (
            ("Scope", 0),
            ("The Goods. They are described below", 1),
            ("apples", 2),
            ("pears:", 2),
            ("Conference", 3),
            ("Williams", 3),
            ("Term", 0),
            ("Long", 1),
            ("fruit", 2),
        )
    )
    data = docx(body, numbering=LEGAL + num(1, 0))
    assert lines(data) == [
        "1. Scope",
        "1.1 The Goods. They are described below",
        "(a) apples",
        "(b) pears:",
        "(i) Conference",
        "(ii) Williams",
        "2. Term",
        "2.1 Long",
        "(a) fruit",
    ]
    assert titles(data) == [
        ("1. Scope", 1),
        ("1.1 The Goods", 2),
        ("1.1(a) apples", 3),
        ("1.1(b) pears", 3),
        ("1.1(b)(i) Conference", 4),
        ("1.1(b)(ii) Williams", 4),
        ("2. Term", 1),
        ("2.1 Long", 2),
        ("2.1(a) fruit", 3),
    ]


def numbered(numbering: str, *items: tuple[int, int]) -> list[str]:
    """What is printed before paragraphs, each of a list and a level."""
    return lines(docx("".join(p("", num=item) for item in items), numbering=numbering))


def test_lists_of_one_definition_count_on_and_restart_where_they_say() -> None:
    steps = abstract(1, ("decimal", "%1."), ("lowerLetter", "%2)"))
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
    items = [(2, 0), (2, 0), (3, 0), (4, 0), (4, 0), (2, 1), (2, 0), (2, 1)]
    found = numbered(steps + num(2, 1) + num(3, 1) + num(4, 1, again), *items)
    assert found == ["1.", "2.", "3.", "1.", "2.", "a)", "3.", "a)"]


def test_an_override_can_bring_its_own_level() -> None:
    own = '<w:lvlOverride w:ilvl="0"><w:lvl w:ilvl="0"><w:start w:val="3"/>'
    own += '<w:numFmt w:val="upperRoman"/><w:lvlText w:val="§ %1"/></w:lvl></w:lvlOverride>'
    assert numbered(abstract(1, ("decimal", "%1.")) + num(2, 1, own), (2, 0), (2, 0)) == [
        "§ III",
        "§ IV",
    ]


def test_a_level_restarts_only_after_the_level_it_names_or_never() -> None:
    levels = abstract(
        1,
        ("decimal", "%1."),
        ("decimal", "%1.%2"),
        level("lowerLetter", "%3)", more='<w:lvlRestart w:val="1"/>'),
        level("decimal", "no %4", more='<w:lvlRestart w:val="0"/>'),
    )
    items = [(2, 0), (2, 1), (2, 2), (2, 3), (2, 1), (2, 2), (2, 0), (2, 2), (2, 3)]
    found = numbered(levels + num(2, 1), *items)
    assert found == ["1.", "1.1", "a)", "no 1", "1.2", "b)", "2.", "a)", "no 2"]


def test_a_level_that_is_passed_over_counts_as_begun() -> None:
    items = [(1, 1), (1, 0), (1, 2), (1, 1)]
    levels = abstract(0, level("decimal", "%1."), level("decimal", "%1.%2"), level("decimal", "%3"))
    assert numbered(levels + num(1, 0), *items) == ["1.1", "2.", "1", "2.2"]


def test_legal_numbers_are_arabic_and_keep_their_zero() -> None:
    levels = abstract(
        1,
        level("upperRoman", "Article %1."),
        level("decimalZero", "Section %1.%2", more="<w:isLgl/>"),
    )
    items = [(2, 0), (2, 0), (2, 1)]
    assert numbered(levels + num(2, 1), *items) == ["Article I.", "Article II.", "Section 2.01"]


def test_a_style_carries_its_number_and_a_paragraph_can_drop_it() -> None:
    styles = (
        paragraph_style("N", "Normal")
        + paragraph_style("C1", "C1", "N", '<w:numPr><w:numId w:val="1"/></w:numPr>')
        + paragraph_style("C2", "C2", "C1")
        + paragraph_style("C3", "C3", "C2")
    )
    numbering = abstract(0, level("decimal", "%1.", "C1"), level("decimal", "%1.%2", "C2"))
    data = docx(
        p("a", style="C1")
        + p("b", style="C2")
        + p("c", style="C1", num=(0, 0))
        + p("d", style="C3")
        + p("e", style="C1"),
        styles=styles,
        numbering=numbering + num(1, 0),
    )
    assert lines(data) == ["1. a", "1.1 b", "c", "2. d", "3. e"]


def test_a_list_may_name_the_list_of_a_numbering_style() -> None:
    styles = (
        '<w:style w:type="numbering" w:styleId="L"><w:name w:val="L"/><w:pPr><w:numPr>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    )
    numbering = abstract(0, ("upperLetter", "%1)"), more='<w:styleLink w:val="L"/>')
    numbering += abstract(1, more='<w:numStyleLink w:val="L"/>') + num(1, 0) + num(2, 1)
    data = docx(p("x", num=(2, 0)) + p("y", num=(2, 0)), styles=styles, numbering=numbering)
    assert lines(data) == ["A) x", "B) y"]


def test_numbers_of_lists_that_are_not_there_are_none() -> None:
    assert lines(docx(p("x", num=(7, 0)))) == ["x"]
    assert lines(docx(p("x", num=(1, 5)), numbering=LEGAL + num(1, 0))) == ["x"]


def test_bullets_are_what_they_look_like_and_no_headings() -> None:
    bullets = abstract(1, ("bullet", "\uf0b7"), ("bullet", "o"), ("bullet", "\uf0a7"))
    data = docx(
        p("x", num=(1, 0)) + p("y", num=(1, 1)) + p("z", num=(1, 2)),
        numbering=bullets + num(1, 1),
    )
    assert document(data).text == "• x\n  ◦ y\n    ▪ z\n"
    assert titles(data) == []


def test_tables_are_rows_with_merged_cells_left_empty() -> None:
    merged = '<w:vMerge w:val="{}"/>'.format
    data = docx(
        p("before")
        + table(
            row("a", "b", tc("c", "d")),
            row(tc("wide", more='<w:gridSpan w:val="2"/>'), "e"),
            row(tc("tall", more=merged("restart")), "f", "g"),
            row(tc("", more="<w:vMerge/>"), "h", "i"),
        )
        + p("after")
    )
    assert document(data).text == (
        "before\n\n| a | b | c d |\n| wide |  | e |\n| tall | f | g |\n|  | h | i |\n\nafter\n"
    )


def test_a_table_of_one_column_is_a_frame_around_its_clauses() -> None:
    data = docx(
        table(row(tc(p("Scope", num=(1, 0)), p("Inner", num=(1, 1)))), row("end")),
        numbering=LEGAL + num(1, 0),
    )
    assert lines(data) == ["1. Scope", "1.1 Inner", "end"]
    assert titles(data) == [("1. Scope", 1), ("1.1 Inner", 2)]


def test_notes_follow_their_paragraph_and_endnotes_the_text() -> None:
    custom = '<w:r><w:footnoteReference w:customMarkFollows="1" w:id="3"/><w:t>*</w:t></w:r>'
    data = docx(
        p("One", note(2), note(1, "endnote"), " and", note(1)) + p("two", custom),
        footnotes=notes("footnote", "first", "second", "* starred"),
        endnotes=notes("endnote", "last"),
    )
    assert lines(data) == [
        "One[^1][^i] and[^2]",
        "[^1]: second",
        "[^2]: first",
        "two*",
        "* starred",
        "[^i]: last",
    ]


def test_the_settings_say_how_notes_are_numbered() -> None:
    own = '<w:numFmt w:val="upperLetter"/><w:numStart w:val="3"/>'
    data = docx(
        p("One", note(1)),
        settings=f"<w:footnotePr>{own}</w:footnotePr>",
        footnotes=notes("footnote", "first"),
    )
    assert lines(data) == ["One[^C]", "[^C]: first"]


def test_a_comment_names_its_author_its_day_and_the_words_it_is_about() -> None:
    start, end = (f'<w:commentRange{side} w:id="0"/>' for side in ("Start", "End"))
    reference = '<w:r><w:commentReference w:id="0"/></w:r>'
    data = docx(
        p("pay in ", start, "sixty", t(" days"), end, reference, "."),
        comments=f'<w:comment w:id="0" {BY}>{p("Too long?")}</w:comment>',
    )
    assert lines(data) == [
        "pay in sixty days.",
        '[Comment by Ann, 2026-03-01, on "sixty days": Too long?]',
    ]


def test_only_headers_that_are_printed_are_read() -> None:
    def section(more: str) -> str:
        names = (("default", "header1"), ("first", "header2"))
        kinds = "".join(f'<w:headerReference w:type="{k}" r:id="{n}"/>' for k, n in names)
        return f"<w:sectPr>{kinds}{more}</w:sectPr>"

    parts = {"header1": p("Every page"), "header2": p("First page")}
    assert lines(docx(p("x") + section(""), **parts)) == ["[Header: Every page]", "x"]
    assert lines(docx(p("x") + section("<w:titlePg/>"), **parts)) == [
        "[Header: Every page]",
        "[Header: First page]",
        "x",
    ]


def test_controls_links_fields_and_boxes_are_read_once() -> None:
    nested = (
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>IF </w:instrText></w:r>'
        + field("MERGEFIELD x", "code")
        + '<w:r><w:fldChar w:fldCharType="separate"/></w:r>'
        + t("shown")
        + '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )
    data = docx(
        p("a ", control(t("b")), " ", f'<w:hyperlink w:anchor="x">{t("c")}</w:hyperlink>')
        + control(p("d ", nested))
        + p('<w:fldSimple w:instr="DATE">' + t("today") + "</w:fldSimple>")
        + p("e", text_box("boxed"))
    )
    assert lines(data) == ["a b c", "d shown", "today", "e", "boxed"]


def test_signs_that_are_no_text_become_what_they_show() -> None:
    signs = "<w:r><w:tab/><w:t>x</w:t><w:noBreakHyphen/><w:t>y</w:t><w:softHyphen/><w:br/>"
    signs += '<w:sym w:font="Wingdings" w:char="F0FE"/><w:sym w:font="Symbol" w:char="F061"/></w:r>'
    box = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:checked/></w:checkBox>'
    box += '</w:ffData></w:fldChar></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    assert lines(docx(p("a", signs, box))) == ["a\tx\u2011y", "☑α☒"]


def test_formulas_are_written_in_one_line() -> None:
    def r(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    power = f"<m:sSup><m:e>{r('x')}</m:e><m:sup>{r('2')}</m:sup></m:sSup>"
    fraction = f"<m:f><m:num>{r('a')}{r('+b')}</m:num><m:den>{r('c')}</m:den></m:f>"
    assert lines(docx(p("so ", f"<m:oMath>{power}{r('=')}{fraction}</m:oMath>"))) == [
        "so x^2=(a+b)/c"
    ]


def test_hidden_text_is_left_out_and_counted() -> None:
    data = docx(p("seen", t(" unseen", "<w:vanish/>"), t(" too", '<w:vanish w:val="0"/>')))
    assert lines(data) == ["seen too"]
    assert document(data).notes == ("hidden text left out: 7 characters",)


def test_a_heading_that_runs_into_its_text_stays_on_its_line() -> None:
    separator = "<w:rPr><w:vanish/><w:specVanish/></w:rPr>"
    assert lines(docx(p("Heading.", more=separator) + p(" Text."))) == ["Heading. Text."]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("accept", ["new text", "joined here", "and split", "here"]),
        ("reject", ["old text", "joined", " here", "and split here"]),
        ("show", ["[-old-]{+new+} text", "joined[-¶-]", " here", "and split{+¶+}", " here"]),
    ],
)
def test_tracked_changes_are_taken_undone_or_shown(changes: str, expected: list[str]) -> None:
    data = docx(
        p(dele("old"), ins("ne"), ins("w"), " text")
        + p("joined", more=mark("del"))
        + p(" here")
        + p("and split", more=mark("ins"))
        + p(" here")
        + p(dele("gone"), more=mark("del"))
    )
    found = lines(data, changes)
    assert [line.strip() for line in found if "gone" not in line] == [
        line.strip() for line in expected
    ]
    assert ("gone" in document(data, changes).text) == (changes != "accept")


def test_joined_paragraphs_have_the_number_of_the_first_with_text() -> None:
    removed = mark("del")
    data = docx(
        p(dele("gone"), num=(1, 0), more=removed)
        + p("a", num=(1, 0), more=removed)
        + p("b")
        + p("c", more=removed)
        + p("d", num=(1, 0))
        + p("e", num=(1, 0), more=removed)
        + table(row("f", "g")),
        numbering=LEGAL + num(1, 0),
    )
    assert lines(data) == ["1. ab", "cd", "2. e", "| f | g |"]


def test_steps_inside_a_clause_are_no_clauses_but_letters_are() -> None:
    lists = abstract(1, ("decimal", "%1)")) + abstract(2, ("lowerLetter", "%1)"))
    data = docx(
        p("Clause", num=(1, 0)) + p("step", num=(2, 0)) + p("letter", num=(3, 0)),
        numbering=LEGAL + lists + num(1, 0) + num(2, 1) + num(3, 2),
    )
    assert titles(data) == [("1. Clause", 1), ("1 a) letter", 2)]


def test_what_one_added_and_another_removed_is_in_neither_text() -> None:
    data = docx(p("a", f'<w:ins w:id="1" {BY}>{dele("b")}</w:ins>', "c"))
    assert [lines(data, changes) for changes in ("accept", "reject", "show")] == [
        ["ac"],
        ["ac"],
        ["a{+[-b-]+}c"],
    ]


def test_who_changed_how_much_is_noted() -> None:
    data = docx(p("a", ins("b"), dele("c")))
    assert document(data).notes == ("tracked changes accepted: 1 added, 1 removed, by Ann",)
    assert document(data, "reject").notes[0].startswith("tracked changes rejected")


def printed_words(text: str) -> list[str]:
    """The words as they are printed: without our signs, and without what stands beside the text."""
    text = re.sub(r"^\[(?:Header|Footer|Comment|\^\w+\]:).*|^Boxed warning$", "", text, flags=re.M)
    text = re.sub(r"^\| | \|$| \| (?:\| )?", " ", text, flags=re.M)
    text = re.sub(r"\{\+¶\+\}|\[-¶-\]|\{\+|\+\}|\[-|-\]", "", text)
    return re.sub(r"\[\^(\w+)\]", r"\1", text).split()


@pytest.mark.parametrize("changes", ["accept", "reject", "show"])
def test_a_contract_reads_word_for_word_as_a_word_processor_prints_it(changes: str) -> None:
    """The expected text is what LibreOffice 7.4.7 writes for `contract()`.

    Its changes were accepted, rejected or left as they are, then it was saved as text, which leaves
    out notes, headers and text boxes.
    """
    expected = (DATA / f"contract.{changes}.txt").read_text(encoding="utf-8").split()
    assert printed_words(document(contract(), changes).text) == expected


def test_shown_changes_hold_both_texts() -> None:
    """Without what was added it is the text before, without what was removed the one after."""
    shown = document(contract(), "show").text
    added, removed = r"\{\+(.*?)\+\}", r"\[-(.*?)-\]"
    after = re.sub(added, r"\1", re.sub(removed, "", shown))
    before = re.sub(removed, r"\1", re.sub(added, "", shown))
    # Numbers are those of the text with all paragraphs.
    numbers = re.compile(r"^(?:\d[\d.]*|\(\w+\))$|¶")
    for text, changes in ((after, "accept"), (before, "reject")):
        plain = document(contract(), changes).text
        kept = [
            [word.replace("¶", "") for word in each.split() if not numbers.match(word)]
            for each in (plain, text)
        ]
        assert [word for word in kept[1] if word != "|"] == [w for w in kept[0] if w != "|"]


@pytest.mark.parametrize("changes", ["accept", "reject"])
def test_every_character_leads_back_to_the_xml(changes: str) -> None:
    """Random documents: the texts of the runs stand in the Document, in order, and nothing else."""
    chance = random.Random(8)
    for _ in range(30):
        paragraphs, expected = [], []
        for _ in range(chance.randint(1, 12)):
            pieces, kept = [], ""
            for _ in range(chance.randint(1, 6)):
                word = "".join(chance.choices("abc é&<>\"'第三条—😀 ", k=chance.randint(1, 9)))
                form = chance.choice((t, t, ins, dele))
                pieces.append(ins(t(word)) if form is ins else form(word))
                if form is t or (form is ins) == (changes == "accept"):
                    kept += word
            paragraphs.append(p(*pieces))
            expected.append(kept.rstrip())
        text = "\n\n".join(filter(str.strip, expected))
        found = item(docx("".join(paragraphs)), changes)
        if text:
            assert isinstance(found, Document) and found.text == text + "\n"
        else:
            assert isinstance(found, Skipped)


def test_a_long_real_document_has_every_word_of_its_xml_in_order(
    corpus_dir: Callable[[str], Path],
) -> None:
    data = (corpus_dir("policy-docx") / "policy.docx").read_bytes()
    found = document(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = ElementTree.fromstring(archive.read("word/document.xml"))
    space = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    position, covered = 0, 0
    for element in root.iter(f"{space}t"):
        place = found.text.find(element.text or "", position)
        assert place >= position, (element.text, found.text[position : position + 80])
        assert len(found.text[position:place].split()) <= 12
        position = place + len(element.text or "")
        covered += len(element.text or "")
    # What is not in a run: line ends, bullets, numbers, the bars of tables, and the footnotes.
    assert covered > 0.95 * len(found.text)
    headings = [
        style
        for style in root.iter(f"{space}pStyle")
        if re.fullmatch("Heading[1-9]", style.get(f"{space}val", ""))
    ]
    assert len(found.headings) == len(headings) > 300
    assert all(
        found.text.startswith(heading.title[:20], heading.start) for heading in found.headings
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04 no zip", "damaged, or not a zip file"),
        (zipped({"a.txt": "x"}), "damaged: no text part in it"),
        (zipped({"word/document.xml": "<w:document"}), "damaged: XML that is not well formed"),
        (
            zipped({"word/document.xml": '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}),
            "refused: XML that declares a document type, as only attacks do",
        ),
        (docx("<w:sdt><w:sdtContent>" * 3000 + "</w:sdtContent></w:sdt>" * 3000), "refused: "),
        (docx(p("")), "no text in it"),
    ],
)
def test_bad_files_are_skipped_with_the_reason(data: bytes, reason: str) -> None:
    found = item(data)
    assert isinstance(found, Skipped) and found.reason.startswith(reason)


def test_every_cut_of_a_file_is_read_or_named() -> None:
    data = contract()
    for end in range(0, len(data), 97):
        found = item(data[:end])
        assert isinstance(found, Skipped) and found.reason


def test_damaged_bytes_never_crash() -> None:
    chance = random.Random(3)
    data = contract()
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 5)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert item(bytes(damaged)).name == "a.docx"
