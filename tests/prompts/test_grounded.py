"""What code can refute of a summary."""

import pytest

from longctx.prompts.grounded import grounded

TEXT = """Mr. Bennet was so odd a mixture of quick parts, sarcastic humour, reserve, and caprice,
that the experience of three-and-twenty years had been insufficient to make his wife understand his
character. Mrs. Long's nieces live in Meryton. The estate is worth 2,000 a year."""


@pytest.mark.parametrize(
    "sentence",
    [
        "Mr. Bennet is not understood by his wife.",
        "The Bennets have been married for long.",
        "In Meryton live the nieces of Mrs. Long.",
        "They have 2,000 a year.",
        "Nobody understands him.",
    ],
)
def test_what_the_text_may_say_stands(sentence: str) -> None:
    assert grounded(sentence, TEXT) == (sentence, 0, 0)


@pytest.mark.parametrize(
    "sentence",
    [
        "He talks to Mr. Darcy about it.",
        "His wife is called Elizabeth.",
        "They have 5,000 a year.",
        "He goes to London.",
    ],
)
def test_names_and_numbers_of_something_else_drop_the_sentence(sentence: str) -> None:
    assert grounded(f"Mr. Bennet is odd. {sentence}", TEXT) == ("Mr. Bennet is odd.", 1, 0)


def test_a_copied_sentence_is_dropped_and_a_short_phrase_is_not() -> None:
    copy = " ".join(TEXT.split())[: TEXT.index("character") + 10]
    assert grounded(copy, TEXT) == ("", 0, 1)
    phrase = "He is a mixture of quick parts, sarcastic humour, and caprice."
    assert grounded(phrase, TEXT)[0] == phrase


def test_nothing_said_is_nothing() -> None:
    assert grounded("", TEXT) == ("", 0, 0)
