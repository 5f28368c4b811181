"""How often an encoding is guessed right: real texts of many languages, encoded by Python.

`python -P tests/bench/encodings.py HANDBOOK OUT.json` reads the HTML of Debian's handbook
(`debian-handbook` in corpora.py) in each language, encodes stretches of it, and writes how many are
read back as they were, for stretches of 200, 2,000 and 20,000 characters. Much of it is not
translated: stretches with fewer than five letters beyond ASCII say nothing of the language and are
left out. `letters` is how many the others have (median).
"""

from __future__ import annotations

import html
import json
import re
import statistics
import sys
from pathlib import Path

from longctx.ingest.read_text import decode

LANGUAGES = {
    "ru-RU": "koi8-r cp1251 iso8859-5 cp866 utf-16-le utf-16-be",
    "pl-PL": "iso8859-2 cp1250 utf-16-le",
    "cs-CZ": "iso8859-2 cp1250",
    "hr-HR": "iso8859-2 cp1250",
    "el-GR": "iso8859-7 cp1253",
    "tr-TR": "iso8859-9 cp1254",
    "fr-FR": "iso8859-1 cp1252 iso8859-15",
    "de-DE": "iso8859-1 cp1252",
    "es-ES": "iso8859-1 cp1252",
    "ja-JP": "shift_jis euc_jp utf-16-le",
    "zh-CN": "gb18030 gbk utf-16-le utf-16-be",
    "zh-TW": "big5",
    "ko-KR": "euc_kr",
}
LENGTHS = (200, 2_000, 20_000)
LEAST_LETTERS = 5


def stretches(folder: Path, length: int, number: int = 10) -> list[str]:
    """Stretches of running text from the chapters in a folder."""
    pages = []
    for path in sorted(folder.glob("*.html")):
        page = re.sub(r"(?s)<(script|style|head).*?</\1>", "", path.read_text(encoding="utf-8"))
        pages.append(re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]+>", "", page))))
    text = "\n".join(page for page in pages if len(page) > 3_000)
    step = max(1, (len(text) - length) // number)
    return [text[at : at + length] for at in range(step // 2, len(text) - length, step)][:number]


def share_right(folder: Path, encoding: str, length: int) -> dict[str, float]:
    """How many stretches are read back as they were, and how many there are."""
    right, letters = 0, []
    for text in stretches(folder, length):
        data = text.encode(encoding, "ignore")
        wanted = data.decode(encoding)
        found = sum(character.isalpha() and not character.isascii() for character in wanted)
        if found < LEAST_LETTERS:
            continue
        letters.append(found)
        decoded = decode(data)
        right += decoded is not None and decoded[0] == wanted
    return {"right": right, "of": len(letters), "letters": statistics.median(letters or [0])}


def main(handbook: Path, out: Path) -> None:
    """Write, and print, what was found for each language and encoding."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for language, encodings in LANGUAGES.items():
        for encoding in encodings.split():
            counts = {str(n): share_right(handbook / language, encoding, n) for n in LENGTHS}
            found[f"{language} {encoding}"] = counts
            shown = "  ".join(f"{count['right']:2}/{count['of']:2}" for count in counts.values())
            print(f"{language} {encoding:10} {shown}", flush=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
