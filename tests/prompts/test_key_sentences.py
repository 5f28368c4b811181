"""The sentences that say most of what a part is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx.ingest.document import Document, Segment
from longctx.prompts.key_sentences import key_sentences, sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def chosen(text: str, part: str, count: int = 1) -> list[str]:
    document = Document("a.txt", text, "prose", "a.txt")
    start = text.index(part)
    one = Segment(document, start, start + len(part), "", 0)
    rest = [Segment(document, 0, start, "", 0), one, Segment(document, one.end, len(text), "", 0)]
    return [text[begin:end] for begin, end in key_sentences(rest, one, count)]


def test_titles_initials_and_numbers_end_no_sentence() -> None:
    assert split("Mr. J. Bennet paid 3.5 pounds. Mrs. Long did not, cf. Annex 2. Why?") == [
        "Mr. J. Bennet paid 3.5 pounds.",
        "Mrs. Long did not, cf. Annex 2.",
        "Why?",
    ]


def test_a_closing_quotation_mark_belongs_to_its_sentence() -> None:
    assert split('"Come in." He came. “Sit down.” She sat.') == [
        '"Come in."',
        "He came.",
        "“Sit down.”",
        "She sat.",
    ]


def test_chinese_sentences_and_paragraphs_end() -> None:
    assert split("第一句。第二句！\n\n標題\n\n第三句") == ["第一句。", "第二句！", "標題", "第三句"]


@given(st.text(alphabet='aB. !?\n"”。x1'))
def test_sentences_are_in_order_and_lose_nothing_but_space(text: str) -> None:
    places = list(sentences(text))
    assert all(start < end for start, end in places)
    assert all(one[1] <= two[0] for one, two in zip(places, places[1:], strict=False))
    assert "".join(text[start:end] for start, end in places).split() == [] or "".join(
        "".join(text[start:end] for start, end in places).split()
    ) == "".join(text.split())


WEATHER = "It rained again over the town and nobody wanted to leave the house all day.\n\n"
PART = (
    "The weather of the town was as it had been on all the days before that one.\n\n"
    "The captain ordered the harpooneers to lower the boats when the whale was seen.\n\n"
    '"The captain and the whale and the harpooneers and the boats," said the whale hunter.\n\n'
    "The whale broke two boats, and the captain lost his harpooneers and his leg.\n\n"
)


def test_what_only_this_part_speaks_of_is_chosen_and_what_all_do_is_not() -> None:
    (sentence,) = chosen(WEATHER * 9 + PART + WEATHER * 9, PART)
    assert sentence.startswith(("The captain ordered", "The whale broke"))


def test_two_sentences_say_different_things_in_the_order_of_the_text() -> None:
    repeated = PART + "The captain ordered the harpooneers to lower the boats for the whale.\n\n"
    first, second = chosen(WEATHER * 9 + repeated + WEATHER * 9, repeated, 2)
    assert first.startswith("The captain ordered")
    assert second.startswith("The whale broke")


@pytest.mark.parametrize(
    "text", ["", "Short.", "# A heading of a chapter that is fairly long, it is"]
)
def test_parts_without_a_whole_sentence_have_none(text: str) -> None:
    assert chosen("before\n\n" + text + "\n\nafter", text) == []
