"""A compact copy of Ranks beside tokenizer.json, read in a tenth of the time."""

from __future__ import annotations

import json
import os
from array import array
from itertools import accumulate
from pathlib import Path

from longctx.runtime.byte_pair import Ranks
from longctx.runtime.special_tokens import SpecialTokens

FILE_NAME = "tokenizer.ranks"
_FORMAT = 1


def save(path: Path, digest: str, ranks: Ranks, specials: SpecialTokens) -> None:
    """Writes the file, whole or not at all; a folder that takes no files is no error.

    The file is a line of JSON, the length of each token (uint16), its id (uint32), its bytes.
    """
    header = {
        "format": _FORMAT,
        "tokenizer_sha256": digest,
        "pattern": ranks.pattern,
        "nfc": ranks.nfc,
        "num_tokens": len(ranks.ids),
        "specials": [dict(specials.ids), specials.pattern, specials.opening_ids],
    }
    lengths, ids = array("H", map(len, ranks.ids)), array("I", ranks.ids.values())
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(
            b"".join([json.dumps(header).encode(), b"\n", lengths, ids, *ranks.ids])
        )
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)


def load(path: Path, digest: str) -> tuple[Ranks, SpecialTokens] | None:
    """What `save` wrote for the tokenizer.json with this hash, None if it did not or is damaged."""
    try:
        line, _, body = path.read_bytes().partition(b"\n")
        header = json.loads(line)
        if (header["format"], header["tokenizer_sha256"]) != (_FORMAT, digest):
            return None
        count = header["num_tokens"]
        lengths, ids = array("H"), array("I")
        middle = count * lengths.itemsize
        start = middle + count * ids.itemsize
        lengths.frombytes(body[:middle])
        ids.frombytes(body[middle:start])
        places = list(accumulate(lengths, initial=start))
        tokens = dict(zip(map(body.__getitem__, map(slice, places, places[1:])), ids, strict=True))
        if len(tokens) != count or places[-1] != len(body):
            return None
        special_ids, pattern, opening_ids = header["specials"]
        specials = SpecialTokens(special_ids, pattern, tuple(opening_ids))
        return Ranks(header["pattern"], header["nfc"], tokens), specials
    except (OSError, ValueError, LookupError, TypeError):
        return None
