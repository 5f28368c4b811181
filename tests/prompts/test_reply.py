import pytest

from longctx.prompts import reply


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('1. "He left."', "He left."),
        ("- `x = 1`", "x = 1"),
        ("“Nested 'quote'”", "Nested 'quote'"),
        ("> - 'a'", "a"),
        ("3.5 grams", "3.5 grams"),
        ("-x + 1", "-x + 1"),
        ('"open only', '"open only'),
        ("", ""),
    ],
)
def test_unmarked(line: str, expected: str) -> None:
    assert reply.unmarked(line) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Not in the text.", True),
        ("The answer is not mentioned in the documents.", True),
        ("They do not say it.", True),
        ("The documents do not state who paid.", True),
        ("They do not say it twice, but " + "they say once that he paid " * 6, False),
        ("", True),
        (" \n", True),
        ("It is 42.", False),
        ("The king is not in the text " + "but much else is said of him " * 8, False),
        ("The rent is not specified in the given text.", True),
        ("The text does not provide information about the rent.", True),
        ("The rent is given in the documents.", False),
    ],
)
def test_is_absent(text: str, expected: bool) -> None:
    assert reply.is_absent(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It allows copies, provided that you comply with", "It allows copies ..."),
        ("Pay 5,000 now. Then", "Pay 5,000 now ..."),
        ("付款，然后", "付款 ..."),
        ("no end at all", "no end at all ..."),
    ],
)
def test_a_stopped_answer_ends_with_a_whole_clause(text: str, expected: str) -> None:
    assert reply.whole_clauses(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This passage of GPL-3 states that you may run it.", "You may run it."),
        ("The section says: no warranty.", "No warranty."),
        ("The passage of a.pdf defines two words.", "The passage of a.pdf defines two words."),
        ("Pay now.", "Pay now."),
        ("", ""),
    ],
)
def test_an_announcement_is_left_out(text: str, expected: str) -> None:
    assert reply.unannounced(text) == expected


def test_quotes_are_cleaned_limited_and_told_once() -> None:
    text = 'Here:\n"One."\n\n2. "Two."\n"One."\n"Three."'
    assert reply.quotes(text, limit=3) == ["Here:", "One.", "Two."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Two men meet.\nQUOTE: "They met."', ("Two men meet.", "They met.")),
        ("Two men meet.\n**Quote:** “They met.”", ("Two men meet.", "They met.")),
        ("Two men meet.\n- quote: They met.\nMore.", ("Two men meet.", "They met.")),
        ("Two men meet.", ("Two men meet.", "")),
        ('QUOTE: "They met."\nTwo men meet.', ("Two men meet.", "They met.")),
        ("They quote: often.", ("They quote: often.", "")),
    ],
)
def test_split_quote(text: str, expected: tuple[str, str]) -> None:
    assert reply.split_quote(text) == expected
