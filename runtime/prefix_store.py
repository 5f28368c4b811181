"""The Prefixes on this machine's disk: found, filled into a KVCache, kept, and evicted.

Every node is a file of its own, and its time of change is its last use: a parent's is always a
little later than its child's, so that the oldest file is always the end of a chain. Nothing is ever
changed in place, and any number of processes may read, write and evict at once.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.install import make_private
from longctx.runtime.prefix_chain import Link
from longctx.runtime.prefix_node import (
    DRAFT,
    DamagedNode,
    Facts,
    abandoned,
    check_node,
    read_facts,
    read_node,
    read_tokens,
    write_node,
)

# Unless the user says otherwise: a quarter of what the disk has for us, and never more than this.
MOST_BYTES = 64 * 10**9
_SUFFIX = ".kv"
# A node's header and token ids: no more than this in all but the strangest cases.
_BESIDE = 8_192
# Longer than any chain is in tokens, and still no time to speak of in nanoseconds.
_APART = 10**7


class NoRoom(Exception):
    """A node that would take more than the store may hold."""


@dataclass(frozen=True, slots=True)
class StoredPrefix:
    """A chain of nodes to its end: what `facts` say of the last, and of all of them in sum.

    `own_bytes` are in no other chain; `last_used` is in seconds since 1970; `seconds` is what
    reading the tokens took, and so what finding them saves.
    """

    facts: Facts
    num_bytes: int
    own_bytes: int
    seconds: float
    last_used: float
    names: tuple[str, ...]


class PrefixStore:
    """A directory of nodes that holds at most `limit_bytes`; 0 keeps nothing new."""

    def __init__(self, directory: Path, limit_bytes: int | None = None) -> None:
        """Look at nothing yet; without a limit it goes by the room on the disk."""
        self.directory = directory
        self._limit_bytes = limit_bytes

    @property
    def edits_path(self) -> Path:
        """Where the results of proofreading are kept, which count for no limit."""
        return self.directory / "proofread.jsonl"

    def has(self, link: Link) -> bool:
        """Returns whether there is a node of that name."""
        return self._path(link.name).is_file()

    def num_stored(self, links: Sequence[Link]) -> int:
        """Returns how many tokens of a chain are there without a gap."""
        end = 0
        for link in links:
            if not self.has(link):
                break
            end = link.end
        return end

    def load(
        self, link: Link, token_ids: NDArray[np.int32], buffers: Sequence[memoryview]
    ) -> Facts | None:
        """Returns what the node says of itself that the buffers hold now, None without one.

        A damaged one is dropped.
        """
        path = self._path(link.name)
        with _or_dropped(path):
            return read_node(path, link.name, token_ids, buffers)
        return None

    def tokens(self, name: str) -> tuple[Facts, NDArray[np.int32]] | None:
        """Returns what a node says of itself and its token ids; a damaged one is dropped."""
        path = self._path(name)
        with _or_dropped(path):
            return read_tokens(path)
        return None

    def sound(self, name: str) -> Facts | None:
        """Returns what a node says of itself if every byte is sound; a damaged one is dropped."""
        path = self._path(name)
        with _or_dropped(path):
            check_node(path)
            return read_facts(path)
        return None

    def save(
        self,
        facts: Facts,
        token_ids: NDArray[np.int32],
        buffers: Sequence[memoryview],
        *,
        stamp: int,
        keep: Collection[str],
    ) -> None:
        """Put the node there, unless it is there or its parent is gone.

        The oldest nodes go to make room, but none of those named in `keep`.

        Raises:
            NoRoom: the limit leaves no room for it.
            OSError: the disk is full or broken.
        """
        path = self._path(facts.name)
        if path.is_file() or facts.start and not self._path(facts.parent).is_file():
            return
        make_private(self.directory)
        if not self._make_room(facts.num_bytes + _BESIDE, keep):
            raise NoRoom(f"the limit of {self.limit_bytes() / 1e9:.1f} GB leaves no room")
        write_node(path, facts, token_ids, buffers, stamp - facts.end)

    def stamp(self) -> int:
        """Returns a time of use, in nanoseconds, later than all that were given before.

        A clock that was set back must not make what is used now look oldest.
        """
        newest = max((time_ns for _, _, time_ns in self._files()), default=0)
        return max(time.time_ns(), newest + _APART)

    def touch(self, links: Sequence[Link], stamp: int) -> None:
        """Note that the nodes were used."""
        for link in links:
            with suppress(OSError):
                os.utime(self._path(link.name), ns=(stamp - link.end, stamp - link.end))

    def limit_bytes(self) -> int:
        """Returns the most that the store may hold now."""
        if self._limit_bytes is not None:
            return self._limit_bytes
        at = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        return min(MOST_BYTES, (shutil.disk_usage(at).free + self.num_bytes()) // 4)

    def num_bytes(self) -> int:
        """Returns what the store holds."""
        return sum(size for _, size, _ in self._files())

    def prefixes(self) -> list[StoredPrefix]:
        """Returns every chain to its end, the one used last first."""
        nodes = self._nodes()
        parents = {facts.parent for facts, _, _ in nodes.values()}
        shared: dict[str, int] = {}
        chains = [_chain(nodes, name) for name in nodes if name not in parents]
        for names in chains:
            for name in names:
                shared[name] = shared.get(name, 0) + 1
        found = [
            StoredPrefix(
                facts=nodes[names[0]][0],
                num_bytes=sum(nodes[name][1] for name in names),
                own_bytes=sum(nodes[name][1] for name in names if shared[name] == 1),
                seconds=sum(nodes[name][0].seconds for name in names),
                last_used=nodes[names[0]][2] / 1e9,
                names=names,
            )
            for names in chains
        ]
        return sorted(found, key=lambda prefix: -prefix.last_used)

    def only_in(self, names: Collection[str]) -> list[str]:
        """Returns those of the names that no chain needs which ends in another node."""
        ends = (prefix for prefix in self.prefixes() if prefix.facts.name not in names)
        needed = {name for prefix in ends for name in prefix.names}
        return [name for name in names if name not in needed]

    def remove(self, names: Collection[str]) -> int:
        """Returns the bytes that were freed by removing the nodes of these names, ends first."""
        return sum(_drop(self._path(name)) for name in names)

    def sweep(self) -> int:
        """Returns the bytes freed: of drafts without a writer, orphans, and over the limit."""
        freed = sum(_drop(path) for path in self.directory.glob(f"{DRAFT}*") if abandoned(path))
        nodes = self._nodes()
        for name, (facts, _, _) in sorted(nodes.items(), key=lambda item: item[1][0].start):
            if facts.start and facts.parent not in nodes:
                freed += _drop(self._path(name))
                del nodes[name]
        before = self.num_bytes()
        self._make_room(0, ())
        return freed + before - self.num_bytes()

    def verify(self, advance: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
        """Returns what was wrong with each node that was not sound; damaged ones are gone now."""
        wrong = []
        files = list(self._files())
        for index, (path, _, _) in enumerate(files):
            advance(index, len(files))
            try:
                check_node(path)
            except FileNotFoundError:
                continue
            except (DamagedNode, OSError) as error:
                wrong.append(str(error))
                if _is_lost(error):
                    _drop(path)
        return wrong

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}{_SUFFIX}"

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        """Yields the nodes: path, bytes, time of use in nanoseconds."""
        with suppress(FileNotFoundError), os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    with suppress(FileNotFoundError):
                        stat = entry.stat()
                        yield Path(entry.path), stat.st_size, stat.st_mtime_ns

    def _nodes(self) -> dict[str, tuple[Facts, int, int]]:
        """Returns the nodes by name; what cannot be read is no node, and goes."""
        nodes = {}
        for path, size, time_ns in self._files():
            with _or_dropped(path):
                nodes[path.stem] = read_facts(path), size, time_ns
        return nodes

    def _make_room(self, num_bytes: int, keep: Collection[str]) -> bool:
        """Returns whether that many bytes more are within the limit, after the oldest went."""
        files = sorted(self._files(), key=lambda file: file[2])
        over = sum(size for _, size, _ in files) + num_bytes - self.limit_bytes()
        for path, size, _ in files:
            if over <= 0:
                break
            if path.stem not in keep:
                _drop(path)
                over -= size
        return over <= 0


def _chain(nodes: Mapping[str, tuple[Facts, int, int]], name: str) -> tuple[str, ...]:
    """Returns the names from a node back to the first one that is there."""
    names = []
    while name in nodes:
        names.append(name)
        name = nodes[name][0].parent
    return tuple(names)


@contextmanager
def _or_dropped(path: Path) -> Iterator[None]:
    """Go on after a node that cannot be read; if it never will be it goes."""
    try:
        yield
    except (DamagedNode, OSError) as error:
        if _is_lost(error):
            _drop(path)


def _is_lost(error: Exception) -> bool:
    """Returns whether a file that cannot be read never will be: not so where, say, none may."""
    return not isinstance(error, OSError) or error.errno == errno.EIO


def _drop(path: Path) -> int:
    """Returns the bytes of a file that was removed; 0 where it was gone or cannot be removed."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
