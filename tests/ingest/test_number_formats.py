import pytest

from longctx.ingest.number_formats import numeral


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("decimal", "1 4 12 21 100"),
        ("decimalZero", "01 04 12 21 100"),
        ("lowerRoman", "i iv xii xxi c"),
        ("upperRoman", "I IV XII XXI C"),
        ("upperLetter", "A D L U VVVV"),
        ("ordinal", "1st 4th 12th 21st 100th"),
        ("cardinalText", "One Four Twelve Twenty-one One_hundred"),
        ("ordinalText", "First Fourth Twelfth Twenty-first One_hundredth"),
        ("chineseCounting", "一 四 十二 二十一 一百"),
        ("chineseLegalSimplified", "壹 肆 壹拾贰 贰拾壹 壹佰"),
        ("ideographDigital", "一 四 一二 二一 一〇〇"),
        ("decimalEnclosedCircle", "① ④ ⑫ ㉑ 100"),
        ("ideographTraditional", "甲 丁 12 21 100"),
        ("no such style", "1 4 12 21 100"),
    ],
)
def test_numbers_in_many_styles(style: str, expected: str) -> None:
    shown = [numeral(number, style).replace(" ", "_") for number in (1, 4, 12, 21, 100)]
    assert " ".join(shown) == expected


def test_letters_are_repeated_after_the_last() -> None:
    assert [numeral(number, "lowerLetter") for number in (26, 27, 52, 53)] == [
        "z",
        "aa",
        "zz",
        "aaa",
    ]


def test_chinese_numbers_fill_gaps_with_one_zero() -> None:
    assert [numeral(number, "chineseCounting") for number in (101, 110, 1010, 12_003)] == [
        "一百〇一",
        "一百一十",
        "一千〇一十",
        "一万二千〇三",
    ]


def test_numbers_that_no_style_can_write_are_decimal() -> None:
    assert numeral(-1, "lowerLetter") == "-1"
    assert numeral(10**9, "upperRoman") == "1000000000"
    assert numeral(0, "upperRoman") == numeral(0, "lowerLetter") == "0"
