import random

import pytest

from longctx.ingest.document import Document, Heading, Page
from longctx.ingest.segment import BLOCK_CHARACTERS, segments

PYTHON = '''"""Module."""
import os

# About f.
@decorator
def f():
    return 1

X = 2
Y = 3


class C:
    def m(self):
        pass
'''
DIFF = """diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -1,2 +1,2 @@
-a
+b
@@ -10,2 +10,2 @@ def f():
--- this is a removed line
+c
diff --git a/y.py b/y.py
deleted file mode 100644
--- a/y.py
+++ /dev/null
@@ -1 +0,0 @@
-z
"""


def outline(text: str, kind: str, name: str = "a", **fields: object) -> list[tuple[int, str, str]]:
    document = Document(name, text, kind, "00", **fields)  # type: ignore[arg-type]
    found = segments(document)
    assert "".join(segment.text for segment in found) == text
    return [(item.level, item.heading, item.text.split("\n")[0]) for item in found]


def test_python_is_cut_at_definitions_with_their_decorators_and_comments() -> None:
    assert outline(PYTHON, "code", "a.py") == [
        (0, "", '"""Module."""'),
        (1, "def f", "# About f."),
        (1, "", "X = 2"),
        (1, "class C", "class C:"),
    ]


def test_a_long_class_is_cut_at_its_methods() -> None:
    methods = "".join(f"    def m{number}(self):\n" + "        x = 1\n" * 50 for number in range(3))
    assert [heading for _, heading, _ in outline(f"class C:\n{methods}", "code", "a.py")] == [
        "class C",
        "def C.m0",
        "def C.m1",
        "def C.m2",
    ]


def test_python_that_does_not_parse_is_cut_at_blank_lines() -> None:
    text = ("def broken(:\n" + "    x = 1\n" * 200 + "\n") * 4
    found = outline(text, "code", "a.py")
    assert len(found) > 1 and all(first == "def broken(:" for _, _, first in found)


def test_other_code_is_cut_at_blank_lines_into_blocks_of_bounded_size() -> None:
    function = "int f(int x)\n{\n\n" + "    return x;\n" * 20 + "}\n\n"
    document = Document("a.c", function * 100, "code", "00")
    found = segments(document)
    assert all(item.text.startswith("int f(int x)") for item in found)
    assert max(len(item.text) for item in found) < BLOCK_CHARACTERS + len(function)


def test_a_diff_is_cut_at_files_and_hunks() -> None:
    assert outline(DIFF, "diff") == [
        (1, "x.py", "diff --git a/x.py b/x.py"),
        (2, "x.py @@ -10,2 +10,2 @@ def f():", "@@ -10,2 +10,2 @@ def f():"),
        (1, "diff --git a/y.py b/y.py (deleted)", "diff --git a/y.py b/y.py"),
    ]


def test_a_paged_document_goes_by_its_outline_or_else_by_pages() -> None:
    text = "one\ntwo\n"
    pages = (Page(1, 0, 4), Page(2, 4, 4), Page(3, 4, 8))
    assert outline(text, "pdf", pages=pages) == [(1, "page 1", "one"), (1, "page 3", "two")]
    assert outline(text, "pdf", pages=pages, headings=(Heading(4, "Two", 1),)) == [
        (0, "", "one"),
        (1, "Two", "two"),
    ]


@pytest.mark.parametrize("kind", ["code", "markdown", "prose", "data", "diff", "pdf"])
def test_segments_cover_any_text_without_gaps(kind: str) -> None:
    generator = random.Random(kind)
    alphabet = [
        "\n",
        "\n\n",
        "# ",
        "1. ",
        "1.1 ",
        "Chapter ",
        "IV",
        "@@ -1 +1 @@",
        "--- a",
        "===",
        "---",
        "def f():",
        "WORDS HERE",
        "words ",
        "第一回",
        "   ",
        "diff --git a/x b/x",
    ]
    for length in (1, 2, 5, 50, 500):
        outline("".join(generator.choices(alphabet, k=length)), kind, "a.py")
