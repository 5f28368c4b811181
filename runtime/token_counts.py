"""The token counts of a model, remembered for texts that were counted before."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b, sha256
from pathlib import Path

FILE_NAME = "tokenizer.counts"
_DIGEST_BYTES = 16
_RECORD = struct.Struct(f"<{_DIGEST_BYTES}sI")
# A hundred thousand texts; then the memory starts anew.
_LIMIT_BYTES = 100_000 * _RECORD.size


class TokenCounts:
    """The exact token counts of a model's tokenizer.

    Beside an installed model they are kept in a file, by a hash of the text under the hash of
    tokenizer.json: packing what was packed before needs no tokenizer at all.
    """

    def __init__(self, directory: Path, count: Callable[[str], int]) -> None:
        """Remember what `count` says of the model in `directory`; nothing is read yet."""
        self._directory = directory
        self._count = count

    def count(self, text: str) -> int:
        """The number of tokens of ordinary text."""
        digest = blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=self._key
        ).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = self._count(text)
            self._keep(_RECORD.pack(digest, known))
        return known

    @cached_property
    def _key(self) -> bytes:
        path = self._directory / "tokenizer.json"
        return sha256(path.read_bytes() if path.is_file() else b"").digest()

    @cached_property
    def _path(self) -> Path | None:
        """The file; None for a model that is not in our own store, where we leave no files."""
        installed = (self._directory / "source.json").is_file()
        return self._directory / FILE_NAME if installed else None

    @cached_property
    def _known(self) -> dict[bytes, int]:
        """The counts in the file; a damaged or full file is begun again."""
        if self._path is None or not self._path.is_file():
            return {}
        try:
            data = self._path.read_bytes()
            if len(data) % _RECORD.size or len(data) >= _LIMIT_BYTES:
                self._path.unlink()
                return {}
        except OSError:
            return {}
        return dict(_RECORD.iter_unpack(data))

    def _keep(self, record: bytes) -> None:
        """Append a record in one write; a folder that takes no files is no error."""
        if self._path is None:
            return
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:
            return
        try:
            os.write(file, record)
        except OSError:
            return
        finally:
            os.close(file)
