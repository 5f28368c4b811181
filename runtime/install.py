"""Puts a model into the store: its lock, its room on the disk, and all its files at once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longctx.runtime.config import read_json
from longctx.runtime.errors import ModelError

Progress = Callable[[str, int, int], None]
"""What is being done, bytes done, bytes in all (0 while that is not known)."""

SOURCE = "source.json"
"""What a model in the store is made of: its origin, licence and the hash of each file."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine: its directory in Hugging Face layout, and a hash of its content.

    The digest of a directory that longctx did not write goes by sizes and times of change.
    """

    name: str
    directory: Path
    digest: str


def model_directory(root: Path, name: str) -> Path:
    """Where the model of that name lies, or would lie, in the store at `root`."""
    return root / "models" / name.replace("/", "--")


def from_store(source: Path) -> ModelFiles:
    """The installed model whose source.json lies at `source`."""
    facts = read_json(source)
    content = json.dumps(facts.get("files"), sort_keys=True)
    return ModelFiles(facts["name"], source.parent, hashlib.sha256(content.encode()).hexdigest())


def install(
    root: Path, name: str, source: Mapping[str, Any], fill: Callable[[Path], None]
) -> ModelFiles:
    """Let `fill` write a model's files into an empty directory, then put it in place at once.

    The caller holds the model's lock. A kill at any moment leaves the store as it was.
    """
    target = model_directory(root, name)
    if target.exists():
        raise ModelError(f"{target}: is in the way and has no {SOURCE}", "move it away")
    incoming = target.with_name(f".incoming-{target.name}")
    shutil.rmtree(incoming, ignore_errors=True)
    make_private(incoming)
    try:
        fill(incoming)
        files = {
            path.name: {"sha256": sha256_of(path), "num_bytes": path.stat().st_size}
            for path in sorted(incoming.iterdir())
        }
        facts = {"name": name, **source, "files": files}
        (incoming / SOURCE).write_text(json.dumps(facts, indent=2), encoding="utf-8")
        for path in (*incoming.iterdir(), incoming):
            _sync(path)
        incoming.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return from_store(target / SOURCE)


@contextmanager
def model_lock(root: Path, name: str, *, progress: Progress) -> Iterator[None]:
    """Hold the lock of one model; a second process waits here. A kill frees it."""
    from filelock import FileLock, Timeout

    directory = model_directory(root, name)
    make_private(directory.parent)
    lock = FileLock(directory.with_name(f".lock-{directory.name}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("wait for another longctx", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_full_explained(root: Path, needed_bytes: int) -> Iterator[None]:
    """Refuse at once when `needed_bytes` are not free, and name a disk that fills on the way.

    Raises:
        ModelError: the disk is too small.
    """
    make_private(root)
    free = shutil.disk_usage(root).free
    hint = "free some space, or set LONGCTX_HOME to a directory on a larger disk"
    if free < needed_bytes:
        raise ModelError(
            f"{root}: {needed_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free", hint
        )
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise ModelError(f"{root}: the disk is full", hint) from error


def sha256_of(path: Path, advance: Callable[[int], None] = lambda count: None) -> str:
    """The sha256 of a file in hexadecimal; `advance` hears how many bytes are read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            advance(file.tell())
    return digest.hexdigest()


def make_private(directory: Path) -> None:
    """Make a directory and its missing parents, for this user only."""
    for path in (*reversed(directory.parents), directory):
        path.mkdir(mode=0o700, exist_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
