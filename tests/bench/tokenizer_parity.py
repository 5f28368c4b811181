"""Token ids of 5 MB each of English, Chinese, code and the naughty strings, against transformers.

`python tests/bench/tokenizer_parity.py MODEL_DIRECTORY CACHE` prints a table and writes
results/tokenizer_parity.json; the texts come from corpora.py.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from corpora import fetch

from longctx.runtime.tokenizer import Tokenizer

T = TypeVar("T")
SIZE_BYTES = 5_000_000
# transformers reads its input in pieces of this size: in one piece it takes quadratic time.
PIECE_CHARACTERS = 200_000


def texts(cache: Path) -> dict[str, str]:
    """The texts by kind."""
    zh = [fetch(cache, "debian-reference-zh-cn"), fetch(cache, "chinese-poetry")]
    sdists = ("requests-2.31.0", "click-8.1.7", "flask-2.3.1", "jinja2-3.1.3", "networkx-3.3")
    code = [path for name in sdists for path in sorted(fetch(cache, name).rglob("*.py"))]
    novels = sorted(fetch(cache, "austen").glob("*.txt"))
    naughty = json.loads((fetch(cache, "blns") / "blns.json").read_bytes())
    return {
        "english": read([*novels, fetch(cache, "kjv") / "kjv.txt"]),
        "chinese": read(path for folder in zh for path in sorted(folder.glob("*.txt"))),
        "code": read(code),
        "naughty strings": at_size("\n".join(naughty)),
    }


def read(paths: Iterable[Path]) -> str:
    """The first 5 MB of the files, one after the other."""
    return at_size("".join(path.read_text(encoding="utf-8") for path in paths))


def at_size(text: str) -> str:
    """The text cut to 5 MB of UTF-8, or repeated until it has as much."""
    data = text.encode()
    repeated = data * -(-SIZE_BYTES // len(data))
    return repeated[:SIZE_BYTES].decode("utf-8", errors="ignore")


def pieces(text: str) -> list[str]:
    """The text cut before line ends, so that pieces are long and whole lines."""
    found, start = [], 0
    while start < len(text):
        end = text.find("\n", start + PIECE_CHARACTERS) + 1 or len(text)
        found.append(text[start:end])
        start = end
    return found


def compare(directory: Path, cache: Path) -> dict[str, Any]:
    """For each kind: bytes, tokens, whether all ids are equal, and MB per second of both."""
    from tokenizers import Tokenizer as Library
    from transformers import AutoTokenizer

    ours = Tokenizer.load(directory)
    ours.encode("warm")
    theirs = AutoTokenizer.from_pretrained(directory)
    # In the naughty strings a special token is text too: to transformers it must not be known.
    content = json.loads(theirs.backend_tokenizer.to_str())
    plain = Library.from_str(json.dumps(content | {"added_tokens": [], "post_processor": None}))
    result = {}
    for kind, text in texts(cache).items():
        whole, our_seconds = timed(lambda text=text: ours.encode(text), times=5)
        parts = pieces(text)
        expected, their_seconds = timed(
            lambda parts=parts: [plain.encode(part, add_special_tokens=False).ids for part in parts]
        )
        result[kind] = {
            "bytes": len(text.encode()),
            "tokens": len(whole),
            "equal": [ours.encode(part) for part in parts] == expected,
            "ours_mb_per_second": round(len(text.encode()) / our_seconds / 1e6, 1),
            "transformers_mb_per_second": round(len(text.encode()) / their_seconds / 1e6, 1),
        }
        print(kind, result[kind], flush=True)
    return result


def timed(work: Callable[[], T], *, times: int = 1) -> tuple[T, float]:
    """What the work returns, and the median of the seconds it took."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, statistics.median(seconds)


def main(arguments: list[str]) -> int:
    """0 if every id of every text is equal."""
    directory, cache = map(Path, arguments)
    result = compare(directory, cache)
    out = Path(__file__).parent / "results" / "tokenizer_parity.json"
    out.parent.mkdir(exist_ok=True)
    about = {
        "model": directory.name,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    out.write_text(json.dumps(about | {"texts": result}, indent=2) + "\n")
    return 0 if all(row["equal"] for row in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
