import random

from longctx.prompts.searchable import BREAK, Match, Run, Searchable, fold


def test_white_space_between_no_words_goes_and_quotes_and_dashes_are_plain() -> None:
    assert fold("  a\n\t b\u00a0c ") == "a b c"
    assert fold("\u201cit\u2019s\u201d 1\u20132 a\u2014b so\u2026") == '"it\'s"1-2 a--b so...'
    assert fold("zero\u200bwidth soft\u00adhyphen") == "zerowidth softhyphen"
    assert fold("天下\n大势 a 合") == "天下大势a合"
    assert fold("f( x , 1 );\n  Y  z") == fold("f(x, 1); Y z") == "f(x,1);Y z"
    assert fold("now here") != fold("nowhere") and fold("été ici") != fold("étéici")
    assert fold("") == ""


def test_every_folded_character_knows_where_it_came_from() -> None:
    generator = random.Random(3)
    alphabet = [
        "a",
        "B",
        " ",
        "\n",
        "\u2014",
        "\u2026",
        "天",
        "\u200b",
        "\u201c",
        "é",
        "\U0001f600",
    ]
    for _ in range(200):
        text = "".join(generator.choices(alphabet, k=generator.randint(1, 40)))
        searchable = Searchable(text, [Run(0, len(text), 0, 0)])
        assert len(searchable.text) == len(searchable.offsets)
        for index, character in enumerate(searchable.text):
            start, end = searchable.origin(Match(index, index + 1))
            assert end == start + 1
            assert character in {"\u2014": "-", "\u2026": "."}.get(
                text[start], fold(text[start]) or " "
            )


def test_runs_that_touch_in_their_document_are_joined_and_others_parted() -> None:
    text = "one MARK two MARK gap MARK other"
    runs = [Run(0, 4, 0, 0), Run(9, 13, 0, 4), Run(18, 22, 0, 20), Run(27, 32, 1, 0)]
    assert Searchable(text, runs).text == f"one two{BREAK}gap{BREAK}other"


def test_like_text_is_found_where_it_stands() -> None:
    generator = random.Random(5)
    text = "".join(generator.choices("abcdefghijklmnop ", k=20_000))
    searchable = Searchable(text, [Run(0, len(text), 0, 0)])
    whole = Match(0, len(searchable.text))
    for start in (0, 7_000, 19_900):
        wanted = searchable.text[start : start + 90].replace("a", "A", 1).lower()
        (place, *_) = searchable.similar(wanted, whole, most=3)
        assert abs(place - start) <= 16
    assert searchable.similar("0123456789" * 3, whole, most=3) == []
