import io
import sys

import pytest

from longctx.cli.progress import duration, open_progress
from longctx.cli.screen import Screen
from longctx.cli.settings import read_settings

from .conftest import Terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain(monkeypatch, **options):
    stream, clock = io.StringIO(), Clock()
    monkeypatch.setattr(sys, "stderr", stream)
    screen = Screen(read_settings({}), **options)
    return stream, clock, open_progress(screen, now=clock), screen


def test_plain_lines_come_once_a_kind_and_every_ten_seconds(monkeypatch):
    stream, clock, progress, _ = plain(monkeypatch)
    for second in range(31):
        clock.now = float(second)
        progress.update("reading", second * 1_000, 40_000, "tokens")
    for number in range(100):
        progress.update(f"reviewing file{number}.py", 0, 0)
    clock.now += 10
    progress.update("reviewing last.py", 0, 0)
    assert stream.getvalue() == (
        "reading: 0 of 40,000 tokens\n"
        "reading: 10,000 of 40,000 tokens, about 30 s left\n"
        "reading: 20,000 of 40,000 tokens, about 20 s left\n"
        "reading: 30,000 of 40,000 tokens, about 10 s left\n"
        "reviewing file0.py\n"
        "reviewing last.py\n"
    )


def test_names_in_progress_cannot_steer_the_terminal(monkeypatch):
    stream, _, progress, _ = plain(monkeypatch)
    progress.update("reviewing \x1b[2J\u202egpj.exe", 0, 0)
    assert stream.getvalue() == "reviewing [2Jgpj.exe\n"


def test_quiet_is_silent(monkeypatch):
    stream, _, progress, screen = plain(monkeypatch, quiet=True)
    progress.update("reading", 1, 2)
    screen.note("a note")
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_that_goes_away_and_eats_no_markup(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", "100")
    screen = Screen(read_settings({"TERM": "xterm"}))
    progress = open_progress(screen)
    progress.update("reviewing [red]a[/red] :smile:", 5, 10, "tokens")
    assert "reviewing [red]a[/red] :smile:" in stream.getvalue()
    assert "50%" in stream.getvalue()
    shown = len(stream.getvalue())
    screen.write("words of the answer")
    cleared = stream.getvalue()[shown:]
    assert "\x1b[2K" in cleared, "the bar is cleared before anything is written"
    progress.update("finding", 0, 0)
    progress.pause()


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}])
def test_a_dumb_terminal_gets_plain_lines(monkeypatch, environ):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = open_progress(Screen(read_settings(environ)))
    progress.update("reading", 5, 10, "tokens")
    assert stream.getvalue() == "reading: 5 of 10 tokens\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (89, "89 s"), (95, "2 min"), (3_600, "60 min"), (6_000, "1 h 40 min")],
)
def test_duration(seconds, expected):
    assert duration(seconds) == expected
