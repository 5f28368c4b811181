import json

import pytest

MEAN = """\
def mean(items):
    total = sum(items)
    return total / len(items)
"""
LISTED = (
    "high | bug | Division by zero | return total / len(items) | [b]empty[/b] list | return 0\n"
    "low | bug | Shadow | total = sum(items) | name | rename\n"
    "high | bug | Made up | call_that_is_not_there() | no | no\n"
)
TEXT = """\
high  mean.py:3: Division by zero (bug)
    | return total / len(items)
    [b]empty[/b] list
    Fix: return 0

low  mean.py:2: Shadow (bug)
    | total = sum(items)
    name
    Fix: rename

(files 1, stretches asked 1, dropped quote not found 1, findings 2)
"""
MARKDOWN = """\
### high: Division by zero (bug)

[b]empty[/b] list
Fix: return 0

> return total / len(items)
> (`mean.py:3`)

### low: Shadow (bug)

name
Fix: rename

> total = sum(items)
> (`mean.py:2`)


*files 1, stretches asked 1, dropped quote not found 1, findings 2*
"""


@pytest.fixture
def mean(model, tmp_path):
    (tmp_path / "work" / "mean.py").write_text(MEAN)
    model.say = lambda question: LISTED
    return model


@pytest.mark.parametrize("once", [[], ["--no-stream"]])
@pytest.mark.parametrize(("form", "expected"), [("text", TEXT), ("md", MARKDOWN)])
def test_findings(run, mean, form, expected, once):
    code, out, err = run("review", ".", "--format", form, *once)
    assert (code, out) == (0, expected)
    assert err == "loading the model\nreviewing mean.py\n"


@pytest.mark.parametrize(("level", "code"), [("high", 1), ("medium", 1), ("low", 1)])
def test_fail_on_counts_what_is_as_bad_or_worse(run, mean, level, code):
    assert run("review", ".", "--fail-on", level).code == code


def test_fail_on_passes_what_is_less_bad(run, mean):
    mean.say = lambda question: LISTED.split("\n")[1]
    assert run("review", ".", "--fail-on", "medium").code == 0
    assert run("review", ".", "--fail-on", "low").code == 1


def test_only_the_label_is_coloured(run, mean, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("review", ".").out
    assert out.startswith("\x1b[1;31mhigh\x1b[0m  mean.py:3")
    assert out.count("\x1b") == 4


def test_a_diff_from_a_pipe(run, model):
    diff = b"--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n import os\n+os.system(input('which file? '))\n"
    model.say = lambda question: (
        "high | security | Shell | os.system(input('which file? ')) | any command | no shell"
    )
    code, out, _ = run("review", "-", stdin=diff)
    assert code == 0
    assert out.startswith("high  x.py:2: Shell (security)\n")


def test_json_is_ranked_and_complete(run, mean):
    mean.say = lambda question: "\n".join(reversed(LISTED.splitlines()))
    found = json.loads(run("review", ".", "--format", "json").out)
    assert found["schema"] == "longctx.review/1"
    assert [piece["label"] for piece in found["pieces"]] == ["high", "low"]
    assert found["pieces"][0]["citations"][0]["span"]["first_line"] == 3
    assert found["counts"]["dropped_quote_not_found"] == 1


def test_a_gate_that_says_no_asks_no_further(run, mean):
    mean.yes = 0.01
    code, out, _ = run("review", ".")
    assert (code, out) == (0, "(files 1, stretches asked 1, passed as clean 1, findings 0)\n")
    assert len(mean.questions) == 1


def test_what_does_not_fit_is_read_in_parts_by_itself(run, mean, tmp_path):
    for number in range(4):
        (tmp_path / "work" / f"part{number}.py").write_text("value = 1\n" * 180)
    mean.yes = 0.0
    code, out, err = run("review", ".", "--window", "1800", "--max-tokens", "50")
    assert code == 0
    assert "read in" in err
    assert "files 5, stretches asked 5" in out


def test_ctrl_c_keeps_the_findings_so_far(run, mean, tmp_path):
    (tmp_path / "work" / "zebra.py").write_text(MEAN)

    def say(question: str) -> str:
        if "zebra.py" in question:
            raise KeyboardInterrupt
        return LISTED

    mean.say = say
    code, out, err = run("review", ".")
    assert code == 130
    assert out == TEXT.rsplit("(", 1)[0]
    assert err.endswith("longctx: stopped\n")
    found = json.loads(run("review", ".", "--format", "json").out)
    assert len(found["pieces"]) == 2
    assert found["complete"] is False
