"""The Edits of texts that were proofread before, kept on the disk: each text is read once.

A line of JSON each, under a hash of all that the Edits depend on; appended in one write, so that
any number of processes may do so at once. What cannot be read or written is no error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np

from longctx.runtime.install import make_private
from longctx.runtime.loading import origin_of
from longctx.runtime.prefix_chain import code_digest
from longctx.runtime.proofreading import SLACK, Edit
from longctx.runtime.reader import DecoderReader

# Some ten thousand files of code; then the memory starts anew.
_LIMIT_BYTES = 32 * 2**20
_DIGEST_BYTES = 16


class KeptEdits:
    """What a decoder over the model in `directory` finds, in the file at `path`."""

    def __init__(self, path: Path, reader: DecoderReader, directory: Path) -> None:
        """Look at nothing yet."""
        self._path = path
        self._room = reader.capacity
        origin = origin_of(reader, directory)
        # words that are written come of other weights than what is read
        settings = f"{origin.settings}, {reader.numerics}, {reader.decoder.decode_rule}"
        code = code_digest(patterns=("runtime/proofreading.py", "runtime/reader.py"))
        self._key = "\0".join((origin.digest, settings, code)).encode()

    def name(self, token_ids: Sequence[int], least: Sequence[float]) -> str:
        """Returns the hash of a text, of where Edits are looked for in it, and of all else."""
        digest = blake2b(self._key, digest_size=_DIGEST_BYTES)
        # the room says where a longer text is cut
        digest.update(str(self._room if len(token_ids) + SLACK > self._room else 0).encode())
        digest.update(np.array(token_ids, dtype=np.int32).tobytes())
        digest.update(np.array(least, dtype=np.float64).tobytes())
        return digest.hexdigest()

    def find(self, name: str) -> list[Edit] | None:
        """Returns the Edits of that name; None if the text was not proofread before."""
        line = self._lines.get(name)
        if line is None:
            return None
        with suppress(ValueError, TypeError, KeyError):
            rows = json.loads(line)["edits"]
            return [Edit(start, end, tuple(ids), *more) for start, end, ids, *more in rows]
        return None

    def keep(self, name: str, edits: Sequence[Edit]) -> None:
        """Append the Edits of that name."""
        line = json.dumps({"name": name, "edits": [astuple(edit) for edit in edits]})
        with suppress(OSError):
            make_private(self._path.parent)
            if self._path.is_file() and self._path.stat().st_size > _LIMIT_BYTES:
                self._path.unlink()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with open(os.open(self._path, flags, 0o600), "wb", buffering=0) as file:
                # a line that was torn off is ended first
                file.write(f"\n{line}\n".encode())

    @cached_property
    def _lines(self) -> dict[str, str]:
        """The lines of the file by their names, the last of each."""
        with suppress(OSError):
            text = self._path.read_text("utf-8", "replace")
            return {
                line[10:42]: line for line in text.splitlines() if line.startswith('{"name": "')
            }
        return {}
