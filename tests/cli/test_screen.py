import io
import sys

import pytest

from longctx.cli.screen import Screen, clean, clean_json
from longctx.cli.settings import read_settings

from .conftest import Terminal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("[not a tag] :smile: [/b]", "[not a tag] :smile: [/b]"),
        ("\x1b]0;title\x07\x1b[31m", "]0;title[31m"),
        ("a\r\nb\x85c\x7f\x00", "a\nbc"),
        ("\u202eabc\u202c\u2066\u2069\u200f\u061c", "abc"),
        ("caf\u00e9 \u4e2d\u6587 \U0001f600", "caf\u00e9 \u4e2d\u6587 \U0001f600"),
        ("caf\udce9.txt", "caf\\xe9.txt"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_clean(text, expected):
    assert clean(text) == expected
    assert "".join(map(clean, text)) == expected, "the same when it streams"


def test_clean_json_escapes_what_clean_takes_away():
    assert clean_json('"\x9b\u202e\udce9\u4e2d"') == '"\\u009b\\u202e\\udce9\u4e2d"'


@pytest.mark.parametrize(
    ("environ", "terminal", "colored"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_color(monkeypatch, environ, terminal, colored):
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    Screen(read_settings({"LONGCTX_HOME": "x", **environ})).write("high", style="high")
    assert out.getvalue() == ("\x1b[1;31mhigh\x1b[0m" if colored else "high")


def test_an_unknown_style_is_no_colour(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    screen = Screen(read_settings({"LONGCTX_HOME": "x"}))
    screen.write("text", style="nothing")
    assert screen.out.getvalue() == "text"
