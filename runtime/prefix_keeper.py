"""Keeps what an Engine reads: stored nodes into its KVCache, and new ones onto the disk meanwhile.

Another thread writes, straight from the KVCache or, where that is on a GPU, a node at a time by way
of the host: nothing more is held twice, however slow the disk is, and the only ones who wait are
those who would overwrite what is not written yet. A store that fails costs one notice, never a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.kv_cache import KVCache
from longctx.runtime.micro_batch import MICRO_BATCH
from longctx.runtime.node_memory import NodeMemory
from longctx.runtime.prefix_chain import NODE, Link, chain, root_name
from longctx.runtime.prefix_node import Facts
from longctx.runtime.prefix_store import NoRoom, PrefixStore

assert NODE % MICRO_BATCH == 0, "a node ends where a micro-batch does"

# Copying and checksums leave a second core idle otherwise; more threads found nothing to gain.
_LOADERS = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """What keys and values come from beside token ids, and what a user is told of a Prefix.

    `digest` is that of the model's files; `settings` names all else that the numbers depend on.
    """

    digest: str
    settings: str
    model: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    link: Link
    token_ids: NDArray[np.int32]
    seconds: float
    stamp: int
    keep: frozenset[str]
    converted: int


class PrefixKeeper:
    """One KVCache and the store that remembers it.

    Reading goes on from whole micro-batches only (`grid`): then every number in a node is the one
    that an undisturbed reading comes to, to the bit on a CPU. On a GPU, where a product of fewer
    rows may be summed in another order, it is so to the rounding.
    """

    grid = MICRO_BATCH

    def __init__(
        self,
        store: PrefixStore,
        origin: Origin,
        cache: KVCache,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Touch nothing on the disk yet; `on_notice` is told, once, why no more is stored."""
        self._store = store
        self._origin = origin
        self._cache = cache
        self._on_notice = on_notice
        self._root = root_name(origin.digest, origin.settings)
        self._ids = np.empty(0, dtype=np.int32)
        self._wanted = list[Link]()
        self._stamp = 0
        self._keep = frozenset[str]()
        self._queue = Queue[_Task | None]()
        self._queued_end = 0
        self._thread: Thread | None = None
        self._failure = ""
        self._told = False
        # by the start of a node that was loaded: how many tokens up to its end were converted
        self._converted = dict[int, int]()
        self._told_converted = 0
        self._mark = (0.0, 0)

    def links(self, token_ids: NDArray[np.int64], question_start: int) -> list[Link]:
        """Returns the chain of what comes before the question."""
        ids = token_ids[:question_start].astype(np.int32)
        return chain(self._root, ids, tail=question_start < len(token_ids))

    def num_stored(self, token_ids: NDArray[np.int64], question_start: int) -> int:
        """Returns how many tokens before the question are in the store."""
        return self._store.num_stored(self.links(token_ids, question_start))

    def restore(self, token_ids: NDArray[np.int64], question_start: int, kept: int) -> int:
        """Returns how many tokens the KVCache holds now that held `kept`: more, or some fewer.

        Only what comes before the question is looked for. A node is read into its place; if it
        proves damaged, it and what it overwrote count for nothing.
        """
        links = self.links(token_ids, question_start)
        self._ids = token_ids[:question_start].astype(np.int32)
        self._stamp = self._store.stamp()
        there = [self._store.has(link) for link in links]
        self._wanted = [link for link, found in zip(links, there, strict=True) if not found]
        self._keep = frozenset(link.name for link in links)
        length = self._load(links, there, kept)
        self._store.touch([link for link in links if link.end <= length], self._stamp)
        self._cache.length = length
        self._mark = (time.monotonic(), length)
        self._converted = {
            start: min(count, length) for start, count in self._converted.items() if start < length
        }
        self._tell_converted()
        return length

    def keep(self, end: int) -> None:
        """Have the nodes written that are whole now that `end` tokens are read."""
        began, start = self._mark
        each = (time.monotonic() - began) / max(1, end - start)
        self._mark = (time.monotonic(), end)
        while self._wanted and self._wanted[0].end <= end and not self._failure:
            link = self._wanted.pop(0)
            ids = self._ids[link.start : link.end]
            seconds = each * (link.end - link.start)
            self._start_thread()
            self._queue.put(_Task(link, ids, seconds, self._stamp, self._keep, self.num_converted))
            self._queued_end = max(self._queued_end, link.end)
        self._tell()

    def settle(self, length: int) -> None:
        """Return when the tokens from `length` on may be overwritten."""
        if length < self._queued_end:
            self._queue.join()
            self._queued_end = 0

    def close(self) -> None:
        """Return when all is written."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._tell()

    def _load(self, links: Sequence[Link], there: Sequence[bool], kept: int) -> int:
        """Returns how many tokens are in place after the stored nodes past `kept` were read."""
        first = kept // NODE
        gap = there.index(False) if False in there else len(there)
        if gap <= first:
            return kept

        def load(link: Link) -> Facts | None:
            memory = NodeMemory(self._cache.runs(link.start, link.end))
            facts = self._store.load(link, self._ids[link.start : link.end], memory.buffers)
            if facts is not None:
                memory.bring()
            return facts

        with ThreadPoolExecutor(_LOADERS) as pool:
            loaded = list(pool.map(load, links[first:gap]))
        whole = loaded.index(None) if None in loaded else len(loaded)
        self._converted |= {facts.start: facts.converted for facts in loaded[:whole] if facts}
        # what comes after a damaged node is sound, but the damaged one has to be stored again
        self._wanted = [*links[first + whole : gap], *self._wanted]
        return links[first + whole - 1].end if whole else first * NODE

    @property
    def num_converted(self) -> int:
        """How many tokens in the KVCache were read in bfloat16 and brought to 8 bits afterwards."""
        return max(self._converted.values(), default=0)

    def _tell_converted(self) -> None:
        """Give notice of converted tokens, again only where there are more of them."""
        if self.num_converted > self._told_converted:
            self._told_converted = self.num_converted
            self._on_notice(
                f"{self.num_converted:,} tokens of the prompt were read in bfloat16 and brought "
                "to 8 bits afterwards: what follows may differ a little from reading in 8 bits"
            )

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._write_all, name="prefixes", daemon=True)
            self._thread.start()

    def _write_all(self) -> None:
        """Write what comes through the queue until None does; after a failure, nothing more."""
        while (task := self._queue.get()) is not None:
            try:
                if not self._failure:
                    self._write(task)
            except OSError as error:
                self._failure = f"{error.strerror or error}"
            except NoRoom as error:
                self._failure = str(error)
            # whatever else goes wrong here, the answer is worth more than its storage
            except Exception as error:
                self._failure = f"{type(error).__name__}: {error}"
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _write(self, task: _Task) -> None:
        memory = NodeMemory(self._cache.runs(task.link.start, task.link.end))
        memory.fetch()
        buffers = memory.buffers
        facts = Facts(
            task.link.name,
            task.link.parent,
            task.link.start,
            task.link.end,
            num_bytes=sum(map(len, buffers)),
            model=self._origin.model,
            settings=self._origin.settings,
            label=self._origin.label,
            seconds=round(task.seconds, 3),
            converted=task.converted,
        )
        self._store.save(facts, task.token_ids, buffers, stamp=task.stamp, keep=task.keep)

    def _tell(self) -> None:
        """Give the one notice, on the caller's own thread."""
        if self._failure and not self._told:
            self._told = True
            self._on_notice(f"what is read from here on is not stored: {self._failure}")
