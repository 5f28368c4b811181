"""Archives and compressed files, unpacked in memory into further Sources, within limits."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath

from longctx.ingest.document import Skipped, Source, printable
from longctx.ingest.zipped import MAX_ENTRIES, ZipRefused, member, open_zip, too_large

MAX_BYTES = 1 << 28
MAX_FILES = 10_000
# Of a file compressed in a way that needs a window for it.
MAX_MEMORY = 1 << 28

_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
COMPRESSED = (_GZIP, _BZIP2, _XZ)
_TAR_SUFFIXES = {".tgz": ".tar", ".tbz2": ".tar", ".tbz": ".tar", ".txz": ".tar"}


@dataclass(slots=True)
class Room:
    """How much may still be taken out of one archive and of the archives in it."""

    num_bytes: int = MAX_BYTES
    num_files: int = MAX_FILES


def is_tar(data: bytes) -> bool:
    """Whether the data is a tar archive, by the mark in its first header (POSIX.1, pax)."""
    return data[257:262] == b"ustar"


def unpack_zip(source: Source, data: bytes, room: Room) -> Iterator[Source | Skipped]:
    """The files in a zip archive, sorted by the bytes of their names."""
    try:
        archive = open_zip(data)
    except ZipRefused as trouble:
        yield Skipped(source.name, str(trouble))
        return
    # Of two entries with one name the later is the file, as for every program that unpacks.
    infos = {_zip_name(info.filename, info.flag_bits): info for info in archive.infolist()}
    for name, item in _named(source, sorted(infos, key=_bytes)):
        info = infos[name]
        if isinstance(item, Skipped):
            yield item
        elif info.is_dir():
            continue
        elif stat.S_ISLNK(info.external_attr >> 16):
            yield Skipped(item, "a symbolic link")
        elif room.num_files == 0:
            yield _too_many(source)
            return
        else:
            try:
                content = member(archive, info, room.num_bytes)
            except ZipRefused as trouble:
                yield Skipped(item, str(trouble))
                continue
            yield _taken(item, content, room)


def unpack_tar(source: Source, data: bytes, room: Room) -> Iterator[Source | Skipped]:
    """The files in a tar archive, sorted by the bytes of their names."""
    import tarfile

    members: dict[str, tarfile.TarInfo] = {}
    trouble = ""
    try:
        # The pieces of the archive are in memory: nothing is written, no link is followed.
        archive = tarfile.open(fileobj=BytesIO(data), mode="r:")
        position = -1
        while (found := archive.next()) is not None and found.offset > position:
            position = found.offset
            members[found.name] = found
            if len(members) > MAX_ENTRIES:
                trouble = f"more than {MAX_ENTRIES:,} entries: the rest is left out"
                break
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError):
        trouble = "damaged: what comes after is left out" if members else "damaged, or no archive"
    for name, item in _named(source, sorted(members, key=_bytes)):
        info = members[name]
        if isinstance(item, Skipped):
            yield item
        elif info.isdir():
            continue
        elif not info.isreg():
            yield Skipped(item, "a link" if info.islnk() or info.issym() else "not a regular file")
        elif info.size > room.num_bytes:
            yield Skipped(item, too_large(info.size, room.num_bytes))
        elif room.num_files == 0:
            yield _too_many(source)
            return
        else:
            try:
                file = archive.extractfile(info)
                content = file.read() if file is not None else b""
            except (tarfile.TarError, EOFError, OSError, ValueError):
                yield Skipped(item, "damaged")
                continue
            yield _taken(item, content, room)
    if trouble:
        yield Skipped(source.name, trouble)


def unpack_stream(source: Source, data: bytes, room: Room) -> Iterator[Source | Skipped]:
    """What gzip, bzip2 or xz hold: the files of a tar archive, or the one file."""
    try:
        content = inflate(data, room.num_bytes)
    except ZipRefused as trouble:
        yield Skipped(source.name, str(trouble))
        return
    if is_tar(content):
        room.num_bytes -= len(content)
        # Its files are part of what was counted just now.
        inner = Room(len(content), room.num_files)
        yield from unpack_tar(source, content, inner)
        room.num_files = inner.num_files
        return
    path = PurePath(source.name)
    suffix = _TAR_SUFFIXES.get(path.suffix.lower(), "")
    yield _taken(f"{source.name}/{path.stem}{suffix}", content, room)


def inflate(data: bytes, limit: int) -> bytes:
    """What compressed data holds, the pieces of several streams joined.

    Raises:
        ZipRefused: it is damaged, cut short, or more than `limit` bytes.
    """
    import bz2
    import lzma
    import zlib

    magic = next(mark for mark in COMPRESSED if data.startswith(mark))
    pieces: list[bytes] = []
    while data.startswith(magic):
        stream = (
            zlib.decompressobj(31)
            if magic == _GZIP
            else bz2.BZ2Decompressor()
            if magic == _BZIP2
            else lzma.LZMADecompressor(memlimit=MAX_MEMORY)
        )
        try:
            piece = stream.decompress(data, limit + 1)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError) as error:
            raise ZipRefused("damaged") from error
        limit -= len(piece)
        if limit < 0:
            raise ZipRefused(f"more than the {MAX_BYTES / 1e6:,.0f} MB that are unpacked")
        if not stream.eof:
            raise ZipRefused("cut short")
        pieces.append(piece)
        data = stream.unused_data
    return b"".join(pieces)


def _named(source: Source, names: list[str]) -> Iterator[tuple[str, str | Skipped]]:
    """Each name with what the file is called, or why it is left out; git's own files are not."""
    for name in names:
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".git" in parts:
            continue
        if ".." in parts:
            shown = printable(f"{source.name}/{name}")
            yield name, Skipped(shown, "its name leads out of the archive")
        elif parts:
            yield name, f"{source.name}/{printable('/'.join(parts))}"


def _taken(name: str, content: bytes, room: Room) -> Source:
    room.num_bytes -= len(content)
    room.num_files -= 1
    return Source(name, data=content)


def _too_many(source: Source) -> Skipped:
    return Skipped(source.name, f"the files after the first {MAX_FILES:,} are left out")


def _zip_name(name: str, flags: int) -> str:
    """The name; as UTF-8 where the archive does not say so and it can be nothing else."""
    if flags & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
