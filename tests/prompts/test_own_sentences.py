import pytest

from longctx.prompts.own_sentences import own_ranges, own_sentences


@pytest.mark.parametrize(
    ("text", "other", "own"),
    [
        ("One. Two.", "Two.  One.", ()),
        ("It ends\nin May.", "It ends in May.", ()),
        ("Pay in 30 days. Or not.", "Pay in 10 days. Or not.", ("Pay in 30 days.",)),
        ("You may copy it.", "You may not copy it.", ("You may copy it.",)),
        ("Art is long", "the art is longer", ("Art is long",)),
        ("第一条。第二条。", "第二条。", ("第一条。",)),
        ("* * *", "nothing", ()),
        ("", "nothing", ()),
    ],
)
def test_sentences_of_one_text_alone(text: str, other: str, own: tuple[str, ...]) -> None:
    assert own_sentences(text, other) == own


def test_ranges_lead_to_the_sentences() -> None:
    text = " One.\n\n  Two\nlines;  three. "
    assert [text[start:end] for start, end in own_ranges(text, "")] == [
        "One.",
        "Two\nlines;",
        "three.",
    ]


def test_the_number_of_a_clause_is_no_sentence():
    found = own_sentences("15. Disclaimer.\n\nThere is no warranty. 2.\n", "Disclaimer.")
    assert found == ("There is no warranty.",)
