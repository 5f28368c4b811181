"""Which encoding from before Unicode a text is in: told by the letters of its languages."""

from __future__ import annotations

import re
from collections import Counter

# Below this share of expected characters a guess is no better than none.
MIN_SCORE = 0.6
# A twelfth of all characters beyond ASCII is far more than chance, and less than any real text has.
MIN_COMMON = 1 / 12
SAMPLE_BYTES = 1 << 16

# The commonest characters of a language, and what it is encoded in beside UTF-8.
_MULTIBYTE = (
    (("euc_jp", "cp932"), "のにはをたがでてとしれさいるなもっかりんスルトンイアク"),
    (
        ("gb18030",),
        "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会",
    ),
    (("cp949",), "이다는에의을를가은고로하지한기사서도어시리인자해수스"),
    (
        ("big5hkscs",),
        "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會",
    ),
)
_RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфёъ"
_SINGLE_BYTE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("cp1252",),
        (
            "éèàâêîôûùçëïœæ",
            "äöüß",
            "áéíóúñü¿¡ºª",
            "áâãàçéêíóôõú",
            "åäöæøé",
            "àèéìòù",
        ),
    ),
    (
        ("iso8859-2", "cp1250"),
        (
            "ąćęłńóśźż",
            "áčďéěíňóřšťúůýž",
            "áčďéíľĺňóôŕšťúýžä",
            "čćđšž",
        ),
    ),
    (
        ("iso8859-2", "cp1250"),
        (
            "áéíóöőúüű",
            "ăâîşţ",
        ),
    ),
    (("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic"), (_RUSSIAN,)),
    (("cp1251", "koi8-u"), ("оаинвіретсклудмпяьбзгйчхжцюїшєщфґ",)),
    (("cp1253", "iso8859-7"), ("αοιετσνηυρπκμλςωάίόδέγήθύχφώβξζψϊϋΐΰ",)),
    (("cp1254",), ("ıüşöğçİ",)),
    (("cp1255", "iso8859-8"), ("יוהלאמרתשבנדעחקפכטסגצםןזךףץ",)),
)
_SIGNS = frozenset("“”„‘’‚–—…«»§©®°·•€№™\xa0\xad")
# Where these are letters in another encoding (Ť and ť), one in two is a capital.
_QUOTES = frozenset("«»")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[^\w\s\x00-\x7f’‘–—\xad\xb7](?=[^\W\d_])")
# Of letters within ASCII, as in LaTeX, this says nothing.
_SHIFTED = re.compile(r"[ß-ÿа-яёά-ώ][A-ZÀ-ÞА-ЯЁΆ-Ώ]|[a-z][À-ÞА-ЯЁΆ-Ώ]")


def legacy_encoding(data: bytes) -> str | None:
    """The name of the likeliest encoding; None where no one fits."""
    sample = data[:SAMPLE_BYTES]
    for names, common in _MULTIBYTE:
        for encoding in names:
            text = _decoded(data, sample, encoding)
            if text is not None and _share(text, common) > MIN_COMMON:
                return encoding
    best, best_score = None, MIN_SCORE
    for encodings, alphabets in _SINGLE_BYTE:
        for encoding in encodings:
            text = _decoded(data, sample, encoding)
            # The first of equals is the commoner one.
            if text is not None and (score := _score(text, alphabets)) > best_score:
                best, best_score = encoding, score
    return best


def _decoded(data: bytes, sample: bytes, encoding: str) -> str | None:
    """The sample as text if the whole can be read in the encoding."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return sample.decode(encoding, "ignore")


def _share(text: str, common: str) -> float:
    """How many of the characters beyond ASCII are among the common ones."""
    beyond = _BEYOND_ASCII.findall(text)
    return sum(map(frozenset(common).__contains__, beyond)) / max(1, len(beyond))


def _score(text: str, alphabets: tuple[str, ...]) -> float:
    """How well the characters beyond ASCII fit the best of the alphabets, at most 1."""
    counts = Counter(_BEYOND_ASCII.findall(text))
    total = sum(counts.values())
    if not total:
        return 0.0
    odd = len(_BETWEEN_LETTERS.findall(text)) + len(_SHIFTED.findall(text))
    return max(_fit(counts, alphabet) for alphabet in alphabets) / total - odd / total


def _fit(counts: Counter[str], alphabet: str) -> float:
    """The sum of what each character is worth: more the commoner it is, less for a capital."""
    # In a language of many letters beyond ASCII their order says more than the mere set.
    slope = 0.5 / len(alphabet) if len(alphabet) > 20 else 0.0
    worth = {letter: 1 - slope * rank for rank, letter in enumerate(alphabet)}
    total = 0.0
    for character, number in counts.items():
        if character in worth:
            total += worth[character] * number
        elif character.lower() in worth:
            total += 0.6 * number
        elif character in _QUOTES:
            total += 0.9 * number
        elif character in _SIGNS:
            total += 0.7 * number
        else:
            total -= number
    return total
