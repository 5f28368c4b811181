import os
import subprocess

import pytest
from office_files import dele, docx, ins, p

COMMANDS = [["ask", "-q", "why?"], ["review"], ["summarize"], ["pack"], ["plan"]]


@pytest.mark.parametrize("argv", [*COMMANDS, ["compare", "-", "a.txt"], ["pack", "-"]])
def test_a_terminal_is_never_waited_for(run, model, argv):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert f"longctx {argv[0]} needs something to read" in err
    assert f"longctx {argv[0]} --help" in err


@pytest.mark.parametrize("path", [[], ["-"]])
def test_a_pipe_is_read(run, model, path):
    code, out, _ = run("pack", *path, stdin=b"From the pipe.\n")
    assert code == 0
    assert 'name="stdin"' in out
    assert "From the pipe." in out


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_an_empty_pipe_is_an_input_error(run, model, data):
    code, out, err = run("pack", stdin=data)
    assert (code, out) == (3, "")
    assert "nothing to read" in err


def test_a_missing_path_is_named_with_a_near_one(run, model, tmp_path):
    (tmp_path / "work" / "notes.txt").write_text("x\n")
    code, out, err = run("pack", "note.txt")
    assert (code, out) == (3, "")
    assert "'note.txt' does not exist" in err
    assert "did you mean notes.txt?" in err


def test_globs_choose_and_leave_out(run, model, tmp_path):
    for name in ("a.py", "b.py", "c.txt"):
        (tmp_path / "work" / name).write_text("x = 1\n")
    out = run("pack", ".", "--include", "*.py", "--exclude", "b.*").out
    assert [name for name in ("a.py", "b.py", "c.txt") if name in out] == ["a.py"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "pay in sixty days"),
        (["--changes", "reject"], "pay in thirty days"),
        (["--changes", "show"], "pay in [-thirty-]{+sixty+} days"),
    ],
)
def test_tracked_changes_are_read_as_the_option_says(run, model, tmp_path, flags, expected):
    data = docx(p("pay in ", dele("thirty"), ins("sixty"), " days"))
    (tmp_path / "work" / "a.docx").write_bytes(data)
    code, out, _ = run("pack", "a.docx", *flags)
    assert code == 0
    assert expected in out


@pytest.fixture
def repository(tmp_path):
    """A repository with two commits, the second of which changed one function of two."""
    work = tmp_path / "work"

    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=work, check=True
        )

    git("init", "-q")
    body = "".join(f"    step_{number}()\n" for number in range(12))
    (work / "a.py").write_text(f"def one():\n{body}    return 1\n\n\ndef two():\n    return 2\n")
    (work / "b.txt").write_text("the same\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (work / "a.py").write_text((work / "a.py").read_text().replace("return 1", "return 11"))
    git("commit", "-q", "-a", "-m", "second")
    return work


def test_files_are_read_as_they_were_at_a_revision(run, model, repository):
    code, out, _ = run("pack", "--rev", "HEAD~1")
    assert code == 0
    assert "return 1\n" in out and "return 11" not in out and "the same" in out


def test_only_what_changed_is_read_with_its_whole_function(run, model, repository):
    code, out, _ = run("pack", "--diff", "HEAD~1")
    assert code == 0
    assert "-    return 1\n+    return 11\n" in out
    assert "def one():" in out and "step_0()" in out
    assert "the same" not in out


@pytest.mark.parametrize("option", ["--rev", "--diff"])
@pytest.mark.parametrize("revision", ["no-such", "--output=x"])
def test_a_revision_that_is_none_is_named(run, model, repository, option, revision):
    code, out, err = run("pack", f"{option}={revision}")
    assert (code, out) == (3, "")
    assert revision in err
    assert not (repository / "x").exists()


@pytest.mark.parametrize("option", ["--rev", "--diff"])
def test_a_revision_needs_a_repository(run, model, option):
    code, out, err = run("pack", option, "HEAD")
    assert (code, out) == (3, "")
    assert "git" in err


def test_files_that_changed_last_come_last_when_that_is_asked_for(run, model, tmp_path):
    work = tmp_path / "work"
    for second, name in enumerate(("b.txt", "c.txt", "a.txt")):
        (work / name).write_text(f"This is {name}.\n")
        os.utime(work / name, (1_000 + second, 1_000 + second))

    def order(*options):
        _, out, _ = run("pack", ".", *options)
        return sorted(("a.txt", "b.txt", "c.txt"), key=lambda name: out.index(f"This is {name}."))

    assert order() == ["a.txt", "b.txt", "c.txt"]
    assert order("--stable") == ["b.txt", "c.txt", "a.txt"]
