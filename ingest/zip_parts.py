"""Zip files read in memory, part by part, up to limits that no bomb gets past."""

from __future__ import annotations

import zipfile
from io import BytesIO

from longctx.ingest.zipped import DAMAGE, ZipRefused

MAX_PART = 1 << 26
MAX_TOTAL = 1 << 28
# Of the list of names: room for 20,000 parts, which no document comes near.
MAX_DIRECTORY = 1 << 21

_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


class ZipParts:
    """The parts of a zip file by name; case and the sort of slash in a name do not matter."""

    def __init__(self, data: bytes) -> None:
        """Read the list of names.

        Raises:
            ZipRefused: the data is no zip file, or the list is longer than any document's.
        """
        if _directory_bytes(data) > MAX_DIRECTORY:
            raise ZipRefused("a zip file with more parts than are read")
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except DAMAGE as error:
            raise ZipRefused("damaged: not a whole zip file") from error
        self._infos = {_key(info.filename): info for info in self._zip.infolist()}
        self._room = MAX_TOTAL

    @property
    def names(self) -> list[str]:
        """The names of the parts as they stand in the file."""
        return [info.filename for info in self._infos.values()]

    def __contains__(self, name: str) -> bool:
        """Whether there is a part of this name."""
        return _key(name) in self._infos

    def read(self, name: str, limit: int = MAX_PART) -> bytes:
        """The bytes of one part; what is really decompressed counts, whatever is declared.

        Raises:
            KeyError: there is no such part.
            ZipRefused: it is damaged, encrypted, longer than `limit`, or too much with the others.
        """
        info = self._infos[_key(name)]
        if info.flag_bits & 1:
            raise ZipRefused("encrypted: it needs a password")
        # The other methods unpack without bounds, and no document uses them.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ZipRefused(f"damaged: {name} is packed in a way that documents never are")
        limit = min(limit, self._room)
        try:
            with self._zip.open(info) as part:
                data = b"" if info.file_size > limit else part.read(limit + 1)
        except DAMAGE as error:
            raise ZipRefused(f"damaged: {name} cannot be unpacked") from error
        if max(len(data), info.file_size) > limit:
            raise ZipRefused(f"{name} unpacks to more than the {limit / 1e6:,.0f} MB that are read")
        self._room -= len(data)
        return data


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _directory_bytes(data: bytes) -> int:
    """How many bytes the list of names takes, as its end record says."""
    end = data.rfind(_END, max(0, len(data) - (1 << 16) - 22))
    if end < 0 or end + 22 > len(data):
        return 0
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    if data[end - 20 : end - 16] == _LOCATOR and data[end - 76 : end - 72] == _END64:
        size = int.from_bytes(data[end - 36 : end - 28], "little")
    return size
