import random

import pytest

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read_text import decode, kind_of, read_text

FRENCH = "Le garçon a mangé des crêpes à la fête; c'était très agréable, où êtes-vous allé?\n"
GERMAN = "Die Straße ist schön, größer und älter als üblich. Fünf Äpfel kosten mehr.\n"
POLISH = "Zażółć gęślą jaźń. Wszystkie dzieci śpią, a księżyc świeci nad łąką w nocy.\n"
RUSSIAN = "Привет, мир! Это обычный русский текст, который читает программа вечером.\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
CHINESE = "天下大势，分久必合，合久必分。周末七国分争，并入于秦。\n"
TYPOGRAPHIC = "He said “don’t” — and left… for €5.\nPlain text follows here.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "latin-1"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-16-le"),
        (FRENCH, "utf-16-be"),
        (FRENCH, "utf-32"),
        (GERMAN, "cp1252"),
        (POLISH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-16-le"),
        (TYPOGRAPHIC, "cp1252"),
        ("café\n", "latin-1"),
    ],
)
def test_text_in_any_encoding_is_read_and_the_encoding_is_told(text: str, encoding: str) -> None:
    decoded = decode(text.encode(encoding))
    assert decoded is not None and decoded[0] == text
    assert bool(decoded[1]) == (encoding != "utf-8-sig")


def test_utf8_needs_no_note() -> None:
    assert decode(CHINESE.encode()) == (CHINESE, ())


def test_a_few_broken_bytes_do_not_make_utf8_something_else() -> None:
    decoded = decode((FRENCH * 3).encode() + b"\xff end\n")
    assert decoded is not None
    assert decoded[0].endswith("\\xff end\n") and decoded[0].startswith(FRENCH)
    assert decoded[1] == ("UTF-8 with 1 broken bytes, shown as \\xNN",)


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0",
        b"text and \0 a NUL in it",
        b"\xff\xd8\xff\xe0 jpeg" + bytes(range(256)),
        random.Random(1).randbytes(4096),
    ],
)
def test_bytes_that_are_no_text_are_skipped_as_binary(data: bytes) -> None:
    assert read_text(Source("x", data=data), data) == Skipped("x", "binary")


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", "\ufeff\n".encode("utf-16-le")])
def test_a_text_without_a_character_is_skipped_as_empty(data: bytes) -> None:
    assert read_text(Source("x", data=data), data) == Skipped("x", "empty")


def test_line_ends_are_newlines_and_terminal_escapes_stay() -> None:
    data = b"a\r\nb\rc\n\x1b[31mred\x1b[0m\n\x0cnext page\n"
    document = read_text(Source("log.txt", data=data), data)
    assert isinstance(document, Document)
    assert document.text == "a\nb\nc\n\x1b[31mred\x1b[0m\n\x0cnext page\n"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a/b.py", "", "code"),
        ("Makefile", "all:\n", "code"),
        ("run", "#!/bin/sh\n", "code"),
        ("README.MD", "", "markdown"),
        ("stdin", "intro\n\n## Part\n", "markdown"),
        ("COPYING", "GNU\n", "prose"),
        ("rows.csv", "", "data"),
        ("stdin", '{"a": 1}', "data"),
        ("x.patch", "", "diff"),
        ("stdin", "diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n", "diff"),
        ("stdin", "--- old.txt\n+++ new.txt\n@@ -1,2 +1,2 @@\n-a\n+b\n", "diff"),
        ("stdin", "--- not a diff\n\nIt goes on.\n", "prose"),
    ],
)
def test_the_kind_comes_from_the_name_or_else_from_the_text(
    name: str, text: str, kind: str
) -> None:
    assert kind_of(name, text) == kind


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        # Capitals inside words of ASCII say nothing of the encoding.
        ("iso8859-2", "LaTeX, GitHub, iPhone, JavaScript and PostgreSQL: są ślepo w jeździe. " * 3),
        ("iso8859-9", "LaTeX, GitHub, iPhone, JavaScript and PostgreSQL: kısa bir ışık. " * 3),
        # What are quotes here are the letters Ť and ť of another.
        ("cp1252", "Una página «útil» según él y «cómoda» además, a él le gusta más así. " * 3),
    ],
)
def test_the_letters_of_a_language_tell_its_encoding(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding))
    assert decoded is not None and decoded[0] == text
