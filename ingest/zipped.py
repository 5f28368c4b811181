"""Files inside a zip file, read into memory and never more of them than allowed."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from zipfile import BadZipFile, ZipFile, ZipInfo

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


class ZipRefused(Exception):
    """A zip file that is damaged, encrypted or too large; the reason is for the user."""


def open_zip(data: bytes) -> ZipFile:
    """The zip file in the data.

    Raises:
        ZipRefused: it is damaged, or holds too many entries.
    """
    num_entries = data.count(_ENTRY)
    if num_entries > MAX_ENTRIES:
        raise ZipRefused(f"{num_entries:,} entries, more than the {MAX_ENTRIES:,} read")
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
