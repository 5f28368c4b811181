import pytest

from longctx.cli.stop import looped, said_once, until_loop, until_stop


@pytest.mark.parametrize(
    ("pieces", "stop", "expected"),
    [
        (["ab", "cd"], [], ["ab", "cd"]),
        (["ab", "<e", "nd>", "more"], ["<end>"], ["ab", ""]),
        (["a<", "b"], ["<end>"], ["a", "<b"]),
        (["a<en"], ["<end>"], ["a", "<en"]),
        (["x END y STOP z"], ["STOP", "END"], ["x "]),
        ([], ["x"], []),
    ],
)
def test_until_stop(pieces, stop, expected):
    assert list(until_stop(pieces, stop)) == expected


def test_nothing_is_asked_for_after_the_stop():
    def pieces():
        yield "word. stop"
        raise AssertionError

    assert "".join(until_stop(pieces(), ["stop"])) == "word. "


LINE = "- It allows users to run it.\n"


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        (LINE * 4, True),
        ("First this. " + "And so it goes on. " * 3, True),
        (LINE * 2, False),
        ("short. " * 9, True),
        ("short. " * 3, False),
        ("no. " * 2, False),
        ("".join(f"{number}. It is number {number}.\n" for number in range(9)), False),
        ("", False),
    ],
)
def test_a_loop_is_seen(text, loops):
    assert looped(text) is loops


def test_a_loop_is_not_asked_for_more_and_is_said_once():
    def pieces():
        yield "Once. "
        for _ in range(1000):
            yield from (LINE[:9], LINE[9:])

    text = "".join(until_loop(pieces()))
    assert text.count(LINE.strip()) in (3, 4)
    assert said_once(text) == f"Once. {LINE.strip()}"


def test_what_does_not_loop_is_left_as_it_is():
    pieces = ["One. ", "Two. ", "Two. ", "Three."]
    assert list(until_loop(pieces)) == pieces
    assert said_once("One. Two. Two.") == "One. Two. Two."
