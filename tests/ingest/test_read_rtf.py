import random

import pytest

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.read import read
from longctx.ingest.read_settings import Changes, ReadSettings


def document(text: str, changes: str = "accept") -> Document:
    data = text.encode("latin-1")
    item = read(Source("a.rtf", data=data), ReadSettings(Changes(changes)))
    assert isinstance(item, Document), item
    return item


def lines(inside: str, changes: str = "accept") -> list[str]:
    text = document(r"{\rtf1\ansi\ansicpg1252 " + inside + "}", changes).text
    return [line for line in text.split("\n") if line]


def test_characters_in_every_way_that_rtf_writes_them() -> None:
    assert lines(r"caf\'e9 \u8364?\u-10179?\u-8704? \emdash\~\_\{x\}\\") == [
        "café €😀 —\xa0\u2011{x}\\"
    ]
    assert lines(r"{\uc2\u31532 ab\u19977 \'cc\'cc}c{\uc0\u26465}d") == ["第三c条d"]
    assert lines("one\r\n two\\line three\\tab four\\par\r\nfive") == [
        "one two",
        "three\tfour",
        "five",
    ]


def test_code_pages_of_the_file_and_of_its_fonts() -> None:
    fonts = (
        r"{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset204 B;}{\f2\fcharset128 C;}{\f3\fcharset2 S;}}"
    )
    body = r"{\f1 \'cf\'f0\'e8}{\f2 \'93\'fa\'96\'7b}{\f3 \'b7}{\f0 \'e9}"
    assert lines(fonts + body) == ["При日本•é"]
    assert document(r"{\rtf1\ansi\ansicpg1250 \'b9\'e6}").text == "ąć\n"


def test_what_is_not_printed_is_passed_over() -> None:
    hidden = r"{\colortbl;\red1;}{\info{\title T}}{\*\generator G;}{\pict\bin4 }}}x}"
    field = r'{\field{\*\fldinst HYPERLINK "u"}{\fldrslt shown}}{\*\bkmkstart b}'
    assert lines(hidden + r"seen {\v unseen}" + field + r"{\*\unknown y}") == ["seen shown"]


def test_labels_headings_notes_comments_margins_and_tables() -> None:
    styles = r"{\stylesheet{\s0 Normal;}{\s1 heading 1;}{\s2\outlinelevel1 Two;}}"
    body = (
        r"{\header top\par}{\footer bottom\par}"
        r"\pard\s1{\listtext 1.\tab}Scope\par\pard\s2 Inner\par\pard text{\footnote note.} on"
        r"{\*\atnid A}{\*\atnauthor Ann}{\*\annotation Why?}\par"
        r"\trowd\pard\intbl a\cell b\par c\cell\row\pard after{\shp{\*\shpinst{\sp{\sn n}{\sv v}}"
        r"{\shptxt boxed\par}}{\shprslt boxed}}\par"
    )
    assert lines(styles + body) == [
        "[Header: top]",
        "1. Scope",
        "Inner",
        "text[^1] on",
        "[^1]: note.",
        "[Comment by Ann: Why?]",
        "| a | b c |",
        "after",
        "boxed",
        "[Footer: bottom]",
    ]
    read_ = document(r"{\rtf1 " + styles + r"\s1 One\par\pard\s2 Two\par}")
    assert read_.headings == (Heading(0, "One", 1), Heading(5, "Two", 2))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("accept", ["new text"]),
        ("reject", ["old text", "1. gone"]),
        ("show", ["[-old-]{+new+} text", "1. [-gone-]"]),
    ],
)
def test_tracked_changes_are_taken_undone_or_shown(changes: str, expected: list[str]) -> None:
    body = r"{\deleted old}{\revised ne}{\revised w} text\par{\listtext 1.\tab}{\deleted gone}\par"
    assert lines(body, changes) == expected


def test_rtf_is_known_by_its_first_bytes_whatever_its_name() -> None:
    item = read(Source("letter.doc", data=rb"{\rtf1 hello}"))
    assert isinstance(item, Document) and item.text == "hello\n"


def test_every_character_leads_back_to_the_file() -> None:
    chance = random.Random(6)
    for _ in range(40):
        text = "".join(chance.choices("ab cdé€第三😀\\{}", k=chance.randint(1, 40)))
        written = "".join(
            f"\\{sign}"
            if sign in "\\{}"
            else sign
            if sign.isascii()
            else "".join(
                f"\\u{int.from_bytes(unit, 'little', signed=True)}?"
                for unit in (
                    sign.encode("utf-16-le")[i : i + 2]
                    for i in range(0, len(sign.encode("utf-16-le")), 2)
                )
            )
            for sign in text
        )
        if text.strip():
            assert document(r"{\rtf1 " + written + r"\par}").text == text.rstrip() + "\n"


def test_damage_never_crashes() -> None:
    chance = random.Random(2)
    good = rb"{\rtf1{\fonttbl{\f0\fcharset128 A;}}\s1 a{\footnote b}\trowd c\cell\row"
    good += rb"{\deleted d}\u8364?\par}"
    for _ in range(500):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 9)):
            damaged[chance.randrange(6, len(good))] = chance.choice(b"{}\\'u19a ")
        item = read(Source("a.rtf", data=bytes(damaged[: chance.randrange(6, len(good))])))
        assert item.name == "a.rtf"
    deep = read(Source("a.rtf", data=b"{\\rtf1 x" + b"{" * 20_000 + b"y"))
    assert isinstance(deep, Document) and deep.text == "xy\n"


@pytest.mark.parametrize("data", [b"no rtf", rb"{\rtf1 }"])
def test_files_without_text_are_skipped(data: bytes) -> None:
    assert isinstance(read(Source("a.rtf", data=data)), Skipped)
