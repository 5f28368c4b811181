import os

import pytest

from longctx.cli import watch


@pytest.fixture
def clock(monkeypatch):
    """What happens during each wait, one after the other; then Ctrl-C."""
    acts = []

    def sleep(seconds):
        assert seconds >= 1
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    monkeypatch.setattr(watch.time, "sleep", sleep)
    return acts


@pytest.fixture
def folder(tmp_path, model):
    work = tmp_path / "work"
    (work / "a.txt").write_text("One.\n")
    model.say = lambda question: "Not in the text."
    return work


def test_a_change_is_answered_again(run, model, folder, clock):
    clock += [
        lambda: None,
        lambda: (folder / "a.txt").write_text("Two, longer.\n"),
        lambda: (folder / "b.txt").write_text("New.\n"),
        lambda: None,
        lambda: os.utime(folder / "a.txt", ns=(1, 1)),
        lambda: None,
    ]
    code, out, err = run("ask", ".", "-q", "Which?", "--watch")
    assert code == 130
    assert out.count("Not in the text.\n") == 3
    assert err.endswith("longctx: stopped\n")


def test_a_failure_is_told_and_the_next_change_mends_it(run, model, folder, clock):
    clock += [
        lambda: (folder / "a.txt").rename(folder / "gone"),
        lambda: None,
        lambda: (folder / "gone").rename(folder / "a.txt"),
        lambda: None,
    ]
    code, out, err = run("ask", "a.txt", "-q", "Which?", "--watch")
    assert code == 130
    assert err.count("'a.txt' does not exist") == 1
    assert out.count("Not in the text.\n") == 2


def test_its_own_output_is_no_change(run, model, folder, clock):
    clock += [lambda: None, lambda: None]
    code, _, err = run("ask", ".", "-q", "Which?", "--watch", "-o", "out.md")
    assert code == 130
    assert err.count("wrote out.md") == 1


@pytest.mark.parametrize("argv", [(), ("-",), ("a.txt", "--rev", "HEAD")])
def test_what_cannot_change_is_not_watched(run, model, folder, argv):
    code, _, err = run("ask", *argv, "-q", "Which?", "--watch", stdin=b"text")
    assert code == 2
    assert "--watch needs paths of files" in err
