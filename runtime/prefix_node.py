"""A node of a stored Prefix as a file: what it is, its token ids, and its keys and values.

Layout: 8 bytes of magic, the CRC-32 of all that follows, the length of a JSON header, the header,
the token ids as int32, and the memory of the KVCache as it is, buffer after buffer. A file is
written beside its place under a lock and renamed into it; what is torn or flipped all the same
fails the checksum. CRC-32 runs at 2 GB/s here, BLAKE2 at a quarter of that.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.prefix_chain import node_name

DRAFT = ".draft-"

_MAGIC = b"LCTXKV\0\1"
_FRONT = struct.Struct("<8sII")
_HEADER_LIMIT = 1 << 16
_PART = 1 << 20
# Said only by nodes of which they are true: an older longctx can read all others.
_MARKS = ("made_of", "converted")


class DamagedNode(Exception):
    """A file that is not, or no longer, the node it should be."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node says of itself; `seconds` is what reading its tokens took when it was made.

    `made_of` is the node in bfloat16 that was brought to 8 bits to make this one, "" where it was
    read as it is; `converted` is how many of the tokens up to its end are in such nodes, or were
    when it was read after them.
    """

    name: str
    parent: str
    start: int
    end: int
    num_bytes: int
    model: str
    settings: str
    label: str
    seconds: float
    made_of: str = ""
    converted: int = 0


def write_node(
    path: Path,
    facts: Facts,
    token_ids: NDArray[np.int32],
    buffers: Sequence[memoryview],
    stamp: int,
) -> None:
    """Put a node in place at once, for this user only, with `stamp` (ns) as its time of use.

    One that was made of another never takes the place of one that is there.

    Raises:
        OSError: the disk is full or broken; nothing is left behind.
    """
    said = {key: value for key, value in asdict(facts).items() if value or key not in _MARKS}
    header = json.dumps(said).encode()
    assert len(header) < _HEADER_LIMIT, "a label longer than a node's header may be"
    parts = [memoryview(header), memoryview(token_ids.astype("<i4").tobytes()), *buffers]
    front = _FRONT.pack(_MAGIC, _checksum(len(header), parts), len(header))
    draft = path.with_name(f"{DRAFT}{path.stem}-{os.getpid()}-{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # whoever finds a draft without a lock knows that its writer is gone
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for part in (memoryview(front), *parts):
            _write(descriptor, part)
        os.utime(descriptor, ns=(stamp, stamp))
        os.fsync(descriptor)
        if facts.made_of:
            with suppress(FileExistsError):
                os.link(draft, path)
            os.unlink(draft)
        else:
            os.rename(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    finally:
        os.close(descriptor)
    _sync_directory(path.parent)


def read_node(
    path: Path, name: str, token_ids: NDArray[np.int32], buffers: Sequence[memoryview]
) -> Facts:
    """Returns what the node says of itself, the buffers filled with what it holds.

    Whatever is raised, they are of no use then.

    Raises:
        DamagedNode: the file is not whole, or not the node of that name and these tokens.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        checksum, header, facts = _open_node(file)
        ids = bytearray(4 * len(token_ids))
        expected = sum(map(len, buffers))
        if facts.name != name or facts.end - facts.start != len(token_ids):
            raise DamagedNode(f"{path}: is the node {facts.name}, expected {name}")
        if facts.num_bytes != expected:
            raise DamagedNode(f"{path}: holds {facts.num_bytes} bytes, expected {expected}")
        found = _checksum(len(header), [memoryview(header)])
        for buffer in (memoryview(ids), *buffers):
            _read(file, buffer)
            found = zlib.crc32(buffer, found)
    if found != checksum or ids != token_ids.astype("<i4").tobytes():
        raise DamagedNode(f"{path}: the checksum is {found:08x}, expected {checksum:08x}")
    return facts


def read_facts(path: Path) -> Facts:
    """Returns what a node says of itself, unchecked but for its size.

    Raises:
        DamagedNode: it is no node.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        return _open_node(file)[2]


def read_tokens(path: Path) -> tuple[Facts, NDArray[np.int32]]:
    """Returns what a node says of itself and its token ids, checked by its name.

    Raises:
        DamagedNode: it is no node, or another one.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        _, _, facts = _open_node(file)
        ids = bytearray(4 * (facts.end - facts.start))
        _read(file, memoryview(ids))
    token_ids = np.frombuffer(ids, dtype="<i4").astype(np.int32)
    if not path.stem == facts.name == node_name(facts.parent, token_ids):
        raise DamagedNode(f"{path}: its token ids are not those of its name")
    return facts, token_ids


def check_node(path: Path) -> NDArray[np.int32]:
    """Returns the token ids of a node, every byte of which was compared with its checksum.

    Raises:
        DamagedNode: it is not sound.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        checksum, header, facts = _open_node(file)
        ids = bytearray(4 * (facts.end - facts.start))
        _read(file, memoryview(ids))
        found = _checksum(len(header), [memoryview(header), memoryview(ids)])
        while part := file.read(_PART):
            found = zlib.crc32(part, found)
    token_ids = np.frombuffer(ids, dtype="<i4").astype(np.int32)
    if found != checksum or node_name(facts.parent, token_ids) != facts.name:
        raise DamagedNode(f"{path}: the checksum is {found:08x}, expected {checksum:08x}")
    return token_ids


def abandoned(draft: Path) -> bool:
    """Returns whether nobody is writing this draft any more."""
    try:
        with draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _open_node(file: BinaryIO) -> tuple[int, bytearray, Facts]:
    """Returns the checksum, the header and the Facts of a file that has the size they say."""
    front = bytearray(_FRONT.size)
    _read(file, memoryview(front))
    magic, checksum, length = _FRONT.unpack(front)
    if magic != _MAGIC or length > _HEADER_LIMIT:
        raise DamagedNode(f"{file.name}: is no node of a stored prefix")
    header = bytearray(length)
    _read(file, memoryview(header))
    try:
        facts = Facts(**json.loads(header))
        num_tokens = len(range(facts.start, facts.end))
        expected = _FRONT.size + length + 4 * num_tokens + facts.num_bytes
    except (ValueError, TypeError) as error:
        raise DamagedNode(f"{file.name}: its header cannot be read: {error}") from error
    actual = os.fstat(file.fileno()).st_size
    if actual != expected or not num_tokens:
        raise DamagedNode(f"{file.name}: is {actual} bytes long, expected {expected}")
    return checksum, header, facts


def _checksum(header_length: int, parts: Sequence[memoryview]) -> int:
    found = zlib.crc32(header_length.to_bytes(4, "little"))
    for part in parts:
        found = zlib.crc32(part, found)
    return found


def _write(descriptor: int, view: memoryview) -> None:
    """Write all of it, in as many calls as the system wants."""
    while len(view):
        view = view[os.write(descriptor, view) :]


def _read(file: BinaryIO, view: memoryview) -> None:
    """Fill the view, in as many calls as the system wants."""
    while len(view):
        count = os.readv(file.fileno(), [view])
        if not count:
            raise DamagedNode(f"{file.name}: ends too early")
        view = view[count:]


def _sync_directory(directory: Path) -> None:
    """Wait until a rename is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
