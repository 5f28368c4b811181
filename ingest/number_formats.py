"""Numbers as word processors print them before a paragraph: IV, iv, aa, First, 十二, ③."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

# Word goes no further with letters.
MAX_LETTERED = 780

_ROMAN = (
    (1000, "m"),
    (900, "cm"),
    (500, "d"),
    (400, "cd"),
    (100, "c"),
    (90, "xc"),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
    (9, "ix"),
    (5, "v"),
    (4, "iv"),
    (1, "i"),
)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_CHINESE_DIGITS = "〇一二三四五六七八九"
_LEGAL_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_STEMS = "甲乙丙丁戊己庚辛壬癸"
_BRANCHES = "子丑寅卯辰巳午未申酉戌亥"
_IROHA = (
    "イロハニホヘトチリヌルヲワカヨタレソツネナラムウ"
    "ヰノオクヤマケフコエテアサキユメミシヱヒモセスン"
)
_AIUEO = (
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
)
_GANADA = "가나다라마바사아자차카타파하"
_HEBREW = "אבגדהוזחטיכלמנסעפצקרשת"
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщыэюя"


def numeral(number: int, style: str) -> str:
    """The number in a style that WordprocessingML names (ST_NumberFormat, ISO 29500-1 17.18.59).

    Styles not known here, and numbers that a style cannot write, are decimal.
    """
    if number < 0 or number > 32_767:
        return str(number)
    return _STYLES.get(style, str)(number)


def _roman(number: int) -> str:
    pieces = []
    for value, letters in _ROMAN:
        pieces.append(letters * (number // value))
        number %= value
    return "".join(pieces) or "0"


def _letters(alphabet: str) -> Callable[[int], str]:
    """a, b … z, aa, bb … zz, aaa: the letter is repeated, as Word does it."""

    def write(number: int) -> str:
        rounds, place = divmod(number - 1, len(alphabet))
        return alphabet[place] * (rounds + 1) if 0 < number <= MAX_LETTERED else str(number)

    return write


def _one_of(signs: str) -> Callable[[int], str]:
    """The sign at the place of the number, as long as there are so many."""
    return lambda number: signs[number - 1] if 0 < number <= len(signs) else str(number)


def _cycled(signs: str) -> Callable[[int], str]:
    return lambda number: signs[(number - 1) % len(signs)] if number else "0"


def _digits(signs: str) -> Callable[[int], str]:
    return lambda number: "".join(signs[int(digit)] for digit in str(number))


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _words(number: int) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, unit)
    return f"{_words(many)} {name}" + (f" {_words(rest)}" if rest else "")


def _ordinal_words(number: int) -> str:
    head, dash, last = _words(number).rpartition("-")
    before, space, last = last.rpartition(" ")
    last = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return f"{head}{dash}{before}{space}{last}"


def _chinese(digits: str, units: str) -> Callable[[int], str]:
    """三百零五 in the way of counting: digit, unit, and one zero for every gap."""

    def below_ten_thousand(number: int) -> str:
        text = f"{number:04d}"
        written = [(int(d), units[2 - i] if i < 3 else "") for i, d in enumerate(text)]
        pieces = []
        for zero, group in groupby(written, key=lambda pair: pair[0] == 0):
            pieces += [digits[0]] if zero else [digits[d] + unit for d, unit in group]
        return "".join(pieces).strip(digits[0])

    def write(number: int) -> str:
        if number == 0:
            return digits[0]
        many, rest = divmod(number, 10_000)
        text = below_ten_thousand(rest) if rest else ""
        if many:
            gap = digits[0] if 0 < rest < 1000 else ""
            return f"{below_ten_thousand(many)}{units[3]}{gap}{text}"
        # 十二, not 一十二.
        return text[1:] if 10 <= number < 20 and digits[0] == "〇" else text

    return write


def _circled(number: int) -> str:
    if 1 <= number <= 20:
        return chr(0x2460 + number - 1)
    return chr(0x3251 + number - 21) if 21 <= number <= 35 else str(number)


def _upper(write: Callable[[int], str]) -> Callable[[int], str]:
    return lambda number: write(number).upper()


def _title(write: Callable[[int], str]) -> Callable[[int], str]:
    """One, Twenty-one, One hundred: a capital where the number begins."""
    return lambda number: write(number)[:1].upper() + write(number)[1:]


_LATIN = _letters("abcdefghijklmnopqrstuvwxyz")
_COUNTING = _chinese(_CHINESE_DIGITS, "十百千万")
_STYLES: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "none": lambda number: "",
    "decimalZero": lambda number: f"{number:02d}",
    "lowerRoman": _roman,
    "upperRoman": _upper(_roman),
    "lowerLetter": _LATIN,
    "upperLetter": _upper(_LATIN),
    "ordinal": _ordinal,
    "cardinalText": _title(_words),
    "ordinalText": _title(_ordinal_words),
    "hex": lambda number: f"{number:X}",
    "numberInDash": lambda number: f"- {number} -",
    "decimalFullWidth": _digits("０１２３４５６７８９"),
    "decimalFullWidth2": _digits("０１２３４５６７８９"),
    "decimalEnclosedCircle": _circled,
    "decimalEnclosedCircleChinese": _circled,
    "decimalEnclosedFullstop": _one_of("⒈⒉⒊⒋⒌⒍⒎⒏⒐⒑⒒⒓⒔⒕⒖⒗⒘⒙⒚⒛"),
    "decimalEnclosedParen": _one_of("⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽⑾⑿⒀⒁⒂⒃⒄⒅⒆⒇"),
    "chineseCounting": _COUNTING,
    "chineseCountingThousand": _COUNTING,
    "taiwaneseCounting": _COUNTING,
    "taiwaneseCountingThousand": _COUNTING,
    "japaneseCounting": _COUNTING,
    "koreanCounting": _COUNTING,
    "ideographDigital": _digits(_CHINESE_DIGITS),
    "taiwaneseDigital": _digits("○一二三四五六七八九"),
    "japaneseDigitalTenThousand": _digits(_CHINESE_DIGITS),
    "koreanDigital": _digits("영일이삼사오육칠팔구"),
    "koreanDigital2": _digits("零一二三四五六七八九"),
    "chineseLegalSimplified": _chinese(_LEGAL_DIGITS, "拾佰仟万"),
    "ideographLegalTraditional": _chinese("零壹貳參肆伍陸柒捌玖", "拾佰仟萬"),
    "japaneseLegal": _chinese("零壱弐参四伍六七八九", "拾百阡萬"),
    "ideographTraditional": _one_of(_STEMS),
    "ideographZodiac": _one_of(_BRANCHES),
    "ideographZodiacTraditional": lambda number: (
        _cycled(_STEMS)(number) + _cycled(_BRANCHES)(number)
    ),
    "ideographEnclosedCircle": _one_of("㊀㊁㊂㊃㊄㊅㊆㊇㊈㊉"),
    "aiueo": _cycled(_AIUEO),
    "aiueoFullWidth": _cycled(_AIUEO),
    "iroha": _cycled(_IROHA),
    "irohaFullWidth": _cycled(_IROHA),
    "ganada": _cycled(_GANADA),
    "hebrew2": _letters(_HEBREW),
    "russianLower": _letters(_RUSSIAN),
    "russianUpper": _upper(_letters(_RUSSIAN)),
    "arabicAbjad": _cycled("أبجدهوزحطيكلمنسعفصقرشتثخذضظغ"),
    "hindiNumbers": _digits("०१२३४५६७८९"),
    "thaiNumbers": _digits("๐๑๒๓๔๕๖๗๘๙"),
    "chicago": _letters("*†‡§"),
}
