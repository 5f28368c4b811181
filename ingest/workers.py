"""Large PDFs are read beside each other, in processes of their own: pdfium knows no threads.

What makes a reader crash takes only its own process with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from longctx.ingest.document import Document, Skipped, Source

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

Items = list[Document | Skipped]

# Of less a process takes longer to start than to read.
LEAST_BYTES = 2_000_000
SUFFIX = ".pdf"


@contextmanager
def read_ahead(
    sources: Sequence[Source], read: Callable[[Source], Items]
) -> Iterator[Mapping[int, Callable[[], Items]]]:
    """What waits for the items of those Sources that are read in other processes, by their index.

    `read` is called there, so it and what it gives must be made of plain data.
    """
    sizes = {index: _pdf_bytes(source) for index, source in enumerate(sources)}
    large = [index for index, size in sizes.items() if size]
    workers = min(len(large), _num_cores())
    if workers < 2 or sum(sizes.values()) < LEAST_BYTES:
        yield {}
        return
    pool = _pool(workers)
    try:
        futures = {index: pool.submit(read, sources[index]) for index in large}
        yield {index: partial(_items, futures[index], sources[index], read) for index in large}
    finally:
        pool.shutdown(cancel_futures=True)


def _items(future: Future[Items], source: Source, read: Callable[[Source], Items]) -> Items:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result()
    except BrokenProcessPool:
        # nobody says which of them it was
        pass
    with _pool(1) as pool:
        try:
            return pool.submit(read, source).result()
        except BrokenProcessPool:
            return [Skipped(source.name, "crashes its reader")]


def _pool(workers: int) -> ProcessPoolExecutor:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # a copy of a process whose other threads are gone may wait for them forever
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _pdf_bytes(source: Source) -> int:
    if source.path is None or PurePath(source.name).suffix.lower() != SUFFIX:
        return 0
    try:
        return source.path.stat().st_size
    except OSError:
        return 0


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
