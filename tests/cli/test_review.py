import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from longctx.prompts.together import WIDTH
from longctx.runtime.proofreading import Edit

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "cli/review.schema.json").read_text())
CODE = """\
import requests


def load(url):
    return requests.get(url, verify=False)
"""
TEXT = """\
high  a.py:5: The certificate of the server is not checked (security, no-certificate-check)
    5 |     return requests.get(url, verify=False)
    `requests.get(url, verify=False)` accepts any certificate, so anyone on the way can read and answer.
    Fix: Leave verification on; trust a private certificate with a CA file.

low  a.py:5: A network call without a timeout (resource, no-timeout)
    5 |     return requests.get(url, verify=False)
    `requests.get` waits as long as the other side likes.
    Fix: Give a timeout; without one the call can wait for ever.

(files 1, files computed 1, computed findings 2)
"""  # noqa: E501
MARKDOWN = """\
### low: A network call without a timeout (resource, no-timeout)

`a.py:5`

```
    return requests.get(url, verify=False)
```

`requests.get` waits as long as the other side likes.

**Fix:** Give a timeout; without one the call can wait for ever.


*files 1, files computed 1, out of focus 1, computed findings 1*
"""
LISTED = (
    "high | bug | Division by [b]zero[/b] | return total / len(items) | empty list | return 0\n"
    "high | bug | Made up | call_that_is_not_there() | no | no\n"
)
OPINION = """\
high  mean.py:3: Division by [b]zero[/b] (bug, the model's opinion)
    3 |     return total / len(items)
    empty list
    Fix: return 0

"""


NO_MODEL = "no model in the store: what the findings mean is not told\n"


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "work" / "a.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def mean(model, tmp_path):
    path = tmp_path / "work" / "mean.py"
    path.write_text("def mean(items):\n    total = sum(items)\n    return total / len(items)\n")
    model.say = lambda question: LISTED
    return model


@pytest.fixture
def large(mean):
    mean.is_large = True
    return mean


def valid(text):
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.mark.parametrize("once", [[], ["--no-stream"]])
def test_what_is_computed_needs_no_model(run, code, once):
    assert run("review", ".", *once) == (0, TEXT, NO_MODEL)
    assert run("review", ".", "--no-explain", "--no-deep", *once) == (0, TEXT, "")


def test_a_model_says_what_findings_mean_and_a_large_one_is_asked_for_its_own(run, mean, code):
    mean.say = lambda question: LISTED if "checker" not in question else "It may listen in."
    out = run("review", ".").out
    assert out.count("It may listen in.") == 2
    assert "opinion" not in out
    mean.is_large = True
    assert OPINION in run("review", ".").out
    assert run("review", ".", "--no-deep", "--no-explain").out.startswith(TEXT.rsplit("(", 1)[0])


UNLIKELY = """\
medium  mean.py:3: `total` where `items` is expected (bug, the model's opinion)
    3 |     return total / len(items)
    To the model what follows is 148 times as likely with that.
    Fix: `return items / len(items)`, if that is meant.

"""


@pytest.fixture
def rewritten(monkeypatch):
    """Has the model write `items` for the last `total`; gives what it was asked about."""
    asked = []

    def proofread(reader, ids, least, breaks, on_progress):
        text = "".join(map(chr, ids))
        asked.append("".join(sign for sign, one in zip(text, least, strict=True) if one < 9))
        on_progress(len(ids), len(ids))
        start = text.rfind(" total")
        found = [Edit(start, start + 6, tuple(map(ord, " items")), 9.0, 5.0)]
        return found if start >= 0 else []

    monkeypatch.setattr("longctx.runtime.proofreading.proofread", proofread)
    return asked


def test_deep_reads_every_function_for_what_is_unlikely(run, mean, rewritten, tmp_path):
    code, out, _ = run("review", ".", "--deep")
    assert code == 0
    assert out.startswith(UNLIKELY)
    assert "files proofread 1, unlikely findings 1" in out
    assert rewritten == ["total=sum(items)returntotal/len(items)"]
    # a small one is not asked for defects of its own
    assert "Division" not in out
    assert run("review", ".", "--deep", "--fail-on", "medium").code == 1
    found = valid(run("review", ".", "--deep", "--format", "json").out)
    assert [(one["kind"], one["source"]) for one in found["findings"]] == [("unlikely", "model")]
    assert found["usage"]["tokens_read"] == len((tmp_path / "work" / "mean.py").read_text())
    mean.is_large = True
    out = run("review", ".", "--deep").out
    assert out.startswith(UNLIKELY + OPINION)


def test_without_deep_nothing_is_proofread(run, mean, rewritten):
    assert "expected" not in run("review", ".").out
    assert "expected" not in run("review", ".", "--no-deep").out
    assert rewritten == []


def test_a_finding_of_proofreading_can_be_silenced(run, mean, rewritten, tmp_path):
    path = tmp_path / "work" / "mean.py"
    path.write_text(path.read_text().replace("items)\n", "items)  # longctx: ignore[unlikely]\n"))
    assert "[suppressed by a comment]" in run("review", ".", "--deep").out


def test_a_model_that_is_named_must_be_there(run, code):
    outcome = run("review", ".", "--model", "nowhere")
    assert outcome.code != 0
    assert "nowhere" in outcome.err


def test_markdown_and_focus(run, code):
    assert run("review", ".", "--focus", "correctness", "--format", "md").out == MARKDOWN


@pytest.mark.parametrize(
    ("level", "code_with", "code_without"), [("high", 1, 0), ("medium", 1, 0), ("low", 1, 1)]
)
def test_fail_on_counts_what_is_as_bad_and_not_suppressed(
    run, code, level, code_with, code_without
):
    assert run("review", ".", "--fail-on", level).code == code_with
    code.write_text(CODE.replace("False)", "False)  # longctx: ignore[no-certificate-check]"))
    outcome = run("review", ".", "--fail-on", level)
    assert outcome.code == code_without
    assert "(security, no-certificate-check) [suppressed by a comment]\n" in outcome.out


def test_only_the_label_is_coloured(run, code, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("review", ".").out
    assert out.startswith("\x1b[1;31mhigh\x1b[0m  a.py:5")
    assert out.count("\x1b") == 4


def test_json_keeps_to_its_schema(run, code):
    found = valid(run("review", ".", "--format", "json").out)
    first = found["findings"][0]
    assert (first["path"], first["first_line"], first["severity"], first["source"]) == (
        "a.py",
        5,
        "high",
        "computed",
    )
    assert (found["complete"], found["model"], first["confidence"]) == (True, "", None)


def test_a_baseline_of_either_form_hides_what_it_has(run, code):
    outcome = run("review", ".", "--json-output", "a.json", "--sarif-output", "a.sarif")
    assert outcome.out == TEXT
    assert outcome.err == NO_MODEL + "wrote a.json\nwrote a.sarif\n"
    valid(Path("a.json").read_text())
    code.write_text("# moved\n" + CODE + "\n\nassert (1, 'x')\n")
    for name in ("a.json", "a.sarif"):
        include = ("--include", "*.py", "--format", "json")
        found = valid(run("review", ".", "--baseline", name, *include).out)
        assert [one["kind"] for one in found["findings"]] == ["assert-tuple"]
        assert found["counts"]["known_before"] == 2


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--baseline", "{}", "is no result of longctx review"),
        ("--baseline", "[1]", "is no result of longctx review"),
        ("--baseline", None, "cannot be read: No such file"),
        ("--ignore", None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_not_what_they_should_be(run, code, option, text, said):
    if text is not None:
        Path("given").write_text(text)
    outcome = run("review", "a.py", option, "given")
    assert outcome.code == 2
    assert f"{option} 'given' {said}" in outcome.err


def test_an_ignore_file(run, code):
    Path("ignored").write_text("# known\nno-timeout a.py  # in tests only\n")
    out = run("review", "a.py", "--ignore", "ignored").out
    assert "(resource, no-timeout) [suppressed by a file]\n" in out


def test_a_large_model_is_asked_and_marked(run, large):
    code, out, err = run("review", ".")
    assert code == 0
    assert out == OPINION + (
        "(files 1, files computed 1, computed findings 0, stretches asked 1, "
        "dropped quote not found 1, model findings 1)\n"
    )
    assert err == "loading the model\nreviewing mean.py\n"


def test_a_gate_that_says_no_asks_no_further(run, large):
    large.yes = 0.01
    out = run("review", ".").out
    assert "stretches asked 1, passed as clean 1, model findings 0" in out
    assert len(large.questions) == 1


def test_a_remark_of_the_model_stands_apart(run, code, model):
    model.say = lambda question: "Anyone can answer."
    out = run("review", ".", "--explain").out
    remark = "The model on a.py:5 ({})\n    Anyone can answer.\n\n"
    remarks = remark.format("no-certificate-check") + remark.format("no-timeout")
    findings, counts = TEXT.split("(files")
    assert out == f"{findings}{remarks}(files{counts}"
    assert len(model.questions) == 2
    found = valid(run("review", ".", "--format", "json", "--sarif-output", "a.sarif").out)
    assert [one["remark"] for one in found["findings"]] == ["Anyone can answer."] * 2
    assert len(found["pieces"]) == 2
    assert Path("a.sarif").read_text().count("Anyone can answer.") == 2


def test_an_explanation_that_is_interrupted_loses_no_finding(run, code, model):
    # more than are asked at once
    more = (f"\n\ndef load{n}(url):\n    return requests.get(url)\n" for n in range(WIDTH - 1))
    code.write_text(CODE + "".join(more))

    def say(question: str) -> str:
        if model.questions[WIDTH:]:
            raise KeyboardInterrupt
        return "Anyone can answer."

    model.say = say
    code, out, _ = run("review", ".", "--json-output", "../a.json", "--sarif-output", "../a.sarif")
    assert code == 130
    assert out.startswith(TEXT.rsplit("(", 1)[0])
    assert out.count("Anyone can answer.") == WIDTH
    found = valid(Path("../a.json").read_text())
    assert [one["remark"] for one in found["findings"]] == ["Anyone can answer."] * WIDTH + [""]
    assert found["complete"] is False
    sarif = json.loads(Path("../a.sarif").read_text())
    assert len(sarif["runs"][0]["results"]) == WIDTH + 1


def test_a_diff_from_a_pipe_is_asked_of_the_model(run, model):
    diff = b"--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n import os\n+os.system(input('which file? '))\n"
    model.say = lambda question: (
        "high | security | Shell | os.system(input('which file? ')) | any command | no shell"
    )
    code, out, _ = run("review", "-", stdin=diff)
    assert code == 0
    assert out.startswith("high  x.py:2: Shell (security, the model's opinion)\n    | os.system(")


OLD = "import os\nimport requests\n\n\ndef load(url):\n    return requests.get(url, verify=False)\n"
NEW = OLD + "\n\ndef drop(name):\n    os.system('rm ' + name)\n    assert (name, 'gone')\n"
LINES = [("x.py", 10), ("x.py", 11)]


def git(*arguments):
    user = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(["git", *user, *arguments], check=True, capture_output=True).stdout


@pytest.fixture
def change(home):
    """A repository with one file, changed since `main`."""
    git("init", "-q", "-b", "main")
    Path("x.py").write_text(OLD)
    git("add", ".")
    git("commit", "-q", "-m", "one")
    Path("x.py").write_text(NEW)
    return git("diff")


def places(outcome):
    findings = valid(outcome.out)["findings"]
    assert {one["source"] for one in findings} <= {"computed"}
    return sorted((one["path"], one["first_line"]) for one in findings)


def test_of_a_change_what_touches_added_lines_is_computed_on_the_whole_file(run, change, model):
    for arguments in (["--diff", "main"], [".", "--diff", "main"], ["x.py", "--diff", "main"]):
        outcome = run("review", *arguments, "--no-explain", "--format", "json")
        assert places(outcome) == LINES
    assert model.questions == []
    model.is_large = True
    run("review", "--diff", "main", "--no-explain")
    assert len(model.questions) > 0


def test_of_a_change_at_a_revision_too(run, change):
    git("commit", "-q", "-a", "-m", "two")
    Path("x.py").write_text("gone = 1\n")
    arguments = ("--diff", "HEAD~1", "--rev", "HEAD", "--format", "json")
    assert places(run("review", *arguments)) == LINES


def test_a_diff_from_a_pipe_finds_its_files_from_below_too(run, change, monkeypatch):
    assert places(run("review", "-", "--format", "json", stdin=change)) == LINES
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert places(run("review", "-", "--format", "json", stdin=change)) == LINES


def test_a_diff_that_is_not_what_lies_here_is_not_computed(run, change, model):
    Path("x.py").write_text(NEW.replace("'rm '", "'rm -r '"))
    model.yes = 0.0
    code, out, err = run("review", "-", stdin=change)
    assert (code, out) == (
        0,
        "(files 1, files computed 0, computed findings 0, stretches asked 1, "
        "passed as clean 1, model findings 0)\n",
    )
    assert "x.py is not here as the diff has it: nothing is computed of it\n" in err


def test_a_new_file_needs_only_the_diff_and_a_removed_one_nothing(run, model):
    body = "".join(f"+{line}\n" for line in NEW.splitlines())
    diff = (
        f"--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,{NEW.count(chr(10))} @@\n{body}"
        "--- a/y.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-import os\n"
    )
    outcome = run("review", "-", "--no-explain", "--format", "json", stdin=diff.encode())
    assert places(outcome) == [("x.py", 6), ("x.py", 6), *LINES]
    assert "not here" not in outcome.err


def test_a_diff_reads_nothing_outside_the_repository(run, change, tmp_path):
    (tmp_path / "secret.py").write_text("assert (1, 2)\n")
    Path("link.py").symlink_to(tmp_path / "secret.py")
    for name in ("../secret.py", "link.py", str(tmp_path / "secret.py")):
        diff = f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-x\n+assert (1, 2)\n"
        outcome = run("review", "-", "--no-deep", "--no-explain", stdin=diff.encode())
        assert "computed findings 0" in outcome.out
        assert "is not here as the diff has it" in outcome.err


def test_what_does_not_fit_is_read_in_parts_by_itself(run, large, tmp_path):
    for number in range(4):
        (tmp_path / "work" / f"part{number}.py").write_text("value = 1\n" * 180)
    large.yes = 0.0
    code, out, err = run("review", ".", "--window", "1800", "--max-tokens", "50")
    assert code == 0
    assert "read in" in err
    assert "stretches asked 5" in out


def test_ctrl_c_keeps_the_findings_so_far_and_valid_documents(run, large, tmp_path):
    (tmp_path / "work" / "zebra.py").write_text(CODE)
    # as many as are asked at once, so that one is done with before the last is asked
    for number in range(WIDTH - 1):
        (tmp_path / "work" / f"middle{number}.py").write_text("value = 1\n")

    def say(question: str) -> str:
        if "zebra.py" in question:
            raise KeyboardInterrupt
        return LISTED

    large.say = say
    code, out, err = run("review", ".", "--no-explain", "--json-output", "../a.json")
    assert code == 130
    assert out == TEXT.rsplit("(", 1)[0].replace("a.py", "zebra.py") + OPINION
    assert err.endswith("longctx: stopped\n")
    found = valid(Path("../a.json").read_text())
    assert (len(found["findings"]), found["complete"]) == (3, False)


def test_control_characters_in_code_do_not_reach_the_terminal(run, code):
    code.write_text(CODE.replace("(url, v", "('\x1b[31m', v"))
    assert "\x1b" not in run("review", ".").out
    assert "\x1b" not in run("review", ".", "--format", "sarif").out
