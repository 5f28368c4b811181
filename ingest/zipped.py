"""Files inside a zip file, read into memory and never more of them than allowed."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

# What reading a damaged or hostile zip file raises.
DAMAGE = (
    BadZipFile,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)
# The table of contents of a zip file takes time and memory before anything in it is known.
MAX_ENTRIES = 100_000
_ENTRY = b"PK\x01\x02"
# Of an office document, and of each of its parts.
MAX_PARTS = 20_000
MAX_PART = 1 << 26
MAX_TOTAL = 1 << 28


class ZipRefused(Exception):
    """A zip file that is damaged, encrypted or too large; the reason is for the user."""


def open_zip(data: bytes, max_entries: int = MAX_ENTRIES) -> ZipFile:
    """The zip file in the data.

    Raises:
        ZipRefused: it is damaged, or holds too many entries.
    """
    num_entries = data.count(_ENTRY)
    if num_entries > max_entries:
        raise ZipRefused(f"{num_entries:,} entries, more than the {max_entries:,} read")
    try:
        return ZipFile(BytesIO(data))
    except DAMAGE as error:
        raise ZipRefused("damaged, or not a zip file") from error


def member(archive: ZipFile, info: ZipInfo, limit: int) -> bytes:
    """The bytes of one file of the archive.

    Raises:
        ZipRefused: it is encrypted or damaged, or it holds more than `limit` bytes, whatever it
            declares.
    """
    if info.flag_bits & 1:
        raise ZipRefused("encrypted: it needs a password")
    if info.file_size > limit:
        raise ZipRefused(too_large(info.file_size, limit))
    try:
        with archive.open(info) as file:
            # What is read beyond the declared size is never given out.
            return file.read(limit)
    except NotImplementedError as error:
        raise ZipRefused("compressed in a way that is not known here") from error
    except DAMAGE as error:
        raise ZipRefused("damaged") from error


def too_large(size: int, limit: int) -> str:
    """What is said of a file that is larger than what may still be read."""
    return f"{size / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} that may still be read"


class ZipParts:
    """The parts of an office document by name; case and the sort of slash do not matter."""

    def __init__(self, data: bytes) -> None:
        """Read the list of names.

        Raises:
            ZipRefused: the data is no zip file, or the list is longer than any document's.
        """
        self._zip = open_zip(data, MAX_PARTS)
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
        """The bytes of one part.

        Raises:
            KeyError: there is no such part.
            ZipRefused: it is damaged, encrypted, longer than `limit`, or too much with the others.
        """
        info = self._infos[_key(name)]
        # The other methods unpack without bounds, and no document uses them.
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ZipRefused(f"damaged: {name} is packed in a way that documents never are")
        try:
            data = member(self._zip, info, min(limit, self._room))
        except ZipRefused as trouble:
            raise ZipRefused(f"{name}: {trouble}") from trouble
        self._room -= len(data)
        return data


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()
