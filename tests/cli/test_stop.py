import pytest

from longctx.cli.stop import until_stop


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
