import pytest

from longctx.prompts.defect import Defect, defects


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "high | bug | Division by zero | return total / n | n may be 0 | Check n",
            Defect("high", "bug", "Division by zero", "return total / n", "n may be 0", "Check n"),
        ),
        (
            "1. **Critical** | Security | SQL injection. | `12| run(sql + name)` | joined | bind",
            None,
        ),
        (
            "| medium | resource | Leak | `f = open(p)` | never closed | use with |",
            Defect("medium", "resource", "Leak", "f = open(p)", "never closed", "use with"),
        ),
        (
            "low | style | Mask | flags = a | b | B | lost bit | keep it",
            Defect("low", "bug", "Mask", "flags = a|b|B", "lost bit", "keep it"),
        ),
        ("high | bug | Title | code()", Defect("high", "bug", "Title", "code()")),
        ("high | bug | Title | code() | why", Defect("high", "bug", "Title", "code()", "why")),
        ("severity | category | title | code | why | fix", None),
        ("--- | --- | --- | --- | --- | ---", None),
        ("NONE", None),
        ("The code is fine.", None),
        ("high | bug | | | |", None),
    ],
)
def test_a_line(line: str, expected: Defect | None) -> None:
    if "Critical" in line:
        (found,) = defects(line)
        assert (found.severity, found.category, found.title) == (
            "high",
            "security",
            "SQL injection",
        )
        assert found.fix == "bind"
        return
    assert defects(line) == ([expected] if expected else [])


def test_lines_are_told_once_and_prose_is_passed_over() -> None:
    line = "high | bug | T | code() | why | fix"
    assert len(defects(f"Here they are:\n{line}\n\n- {line}\nHope this helps!")) == 1


SQL = """\
The file app.py has a security hole in the `find_user` function. The `name` goes into the query as
it is, which can lead to SQL injection. The faulty line of code is `cursor = db.execute(q + name)`.

2. **Zero**: `mean` divides by zero for an empty list. The line is:
```python
return sum(values) / len(values)
```
3. The style of `x` could be better.

Overall the code is fine.
"""


def test_prose_with_code_between_backticks() -> None:
    first, second = defects(SQL)
    assert first == Defect(
        "",
        "",
        "The `name` goes into the query as it is, which can lead to SQL injection",
        "cursor = db.execute(q + name)",
        "The `name` goes into the query as it is, which can lead to SQL injection.",
    )
    assert second.quote == "return sum(values) / len(values)"
    assert second.why == "**Zero**: `mean` divides by zero for an empty list."


def test_a_long_first_sentence_is_cut_for_the_title_only() -> None:
    words = "word " * 40
    (defect,) = defects(f"{words}ends here, see `return 1 / 0`.")
    assert defect.title.endswith("word ...")
    assert len(defect.title) <= 94
    assert defect.why.startswith(words)


def test_a_sentence_that_only_announces_a_defect_is_left_out() -> None:
    text = (
        "The file `auth.py` contains a bug in the `Digest` class. The header is built from no "
        "nonce at all. The faulty line is `nonce = header[5:]`."
    )
    (found,) = defects(text)
    assert found.title == "The header is built from no nonce at all"
    (alone,) = defects("The file has a bug: it never closes `handle = open(path)`.")
    assert alone.title.startswith("The file has a bug")


@pytest.mark.parametrize(
    "preamble",
    [
        "The bugs or security holes in lines 2 to 9 of the file `adapters.py` are as follows:",
        "Here are the bugs of `adapters.py`:",
    ],
)
def test_the_words_before_a_list_are_no_defect(preamble: str) -> None:
    told = f"{preamble}\n\n1. The file stays open: `handle = open(path)` is never closed."
    assert [defect.quote for defect in defects(told)] == ["handle = open(path)"]
