"""How often an encoding is guessed right: real texts of many languages, encoded by Python.

`python -P tests/bench/encodings.py HANDBOOK` reads the HTML of Debian's handbook (`debian-handbook`
in corpora.py) in each language, encodes stretches of it, and prints how many are read back as they
were, for stretches of 200, 2,000 and 20,000 characters.
"""

from __future__ import annotations

import html
import re
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


def stretches(folder: Path, length: int, number: int = 10) -> list[str]:
    """Stretches of running text from the chapters in a folder."""
    pages = []
    for path in sorted(folder.glob("*.html")):
        page = re.sub(r"(?s)<(script|style|head).*?</\1>", "", path.read_text(encoding="utf-8"))
        pages.append(re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]+>", "", page))))
    text = "\n".join(page for page in pages if len(page) > 3_000)
    step = max(1, (len(text) - length) // number)
    return [text[at : at + length] for at in range(step // 2, len(text) - length, step)][:number]


def share_right(folder: Path, encoding: str, length: int) -> tuple[int, int]:
    """How many stretches are read back as they were, and how many there are."""
    right = total = 0
    for text in stretches(folder, length):
        data = text.encode(encoding, "ignore")
        wanted = data.decode(encoding)
        if wanted.isascii():
            continue
        decoded = decode(data)
        total += 1
        right += decoded is not None and decoded[0] == wanted
    return right, total


def main(handbook: Path) -> None:
    """Print a line for each language and encoding."""
    for language, encodings in LANGUAGES.items():
        for encoding in encodings.split() if (handbook / language).is_dir() else ():
            counts = [share_right(handbook / language, encoding, length) for length in LENGTHS]
            shown = "  ".join(f"{right:2}/{total:2}" for right, total in counts)
            print(f"{language} {encoding:10} {shown}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
