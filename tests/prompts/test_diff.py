from longctx.ingest.document import Document
from longctx.prompts.diff import changed_files, place_in_new_file

GIT = """\
diff --git a/app/main.py b/app/main.py
index 111..222 100644
--- a/app/main.py
+++ b/app/main.py
@@ -1,3 +1,4 @@
 import os
+import sys
 
-print(os)
+print(sys)
@@ -40,2 +41,3 @@ def tail():
     pass
+    return 1 / 0
     done
diff --git a/old.png b/old.png
Binary files a/old.png and b/old.png differ
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-x = 1
"""


def document(text: str) -> Document:
    return Document("stdin", text, "diff", "0")


def test_each_file_of_a_git_diff_is_found() -> None:
    files = changed_files(document(GIT))
    assert [item.name for item in files] == ["app/main.py", "/dev/null"]
    assert files[0].start == 0
    assert files[-1].end == len(GIT)


def test_a_plain_diff_with_time_stamps() -> None:
    text = "--- a.c\t2024-01-01 00:00\n+++ b.c\t2024-01-02 00:00\n@@ -1 +1 @@\n-a\n+b\n"
    assert [item.name for item in changed_files(document(text))] == ["b.c"]


def test_prose_with_dashes_is_no_diff() -> None:
    text = "Title\n--- a rule\n+++ another\n\ntext @@ text\n"
    assert changed_files(document(text)) == ()


def test_lines_are_those_of_the_new_file() -> None:
    diff = document(GIT)
    changed = changed_files(diff)[0]
    places = {}
    for needle in ("import sys", "print(sys)", "print(os)", "return 1 / 0", "done"):
        start = GIT.index(needle)
        places[needle] = str(
            place_in_new_file(diff, changed, diff.span(start, start + len(needle)))
        )
    assert places == {
        "import sys": "app/main.py:2",
        "print(sys)": "app/main.py:4",
        "print(os)": "app/main.py:4",
        "return 1 / 0": "app/main.py:42",
        "done": "app/main.py:43",
    }
