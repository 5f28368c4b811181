"""A stored Prefix that was read in bfloat16, brought to the 8 bits in which another run wants it.

The nodes come out under the names that a run in 8 bits looks for, which are hashes of what was read
and how, and say what they were made of. They go into the store one by one, so that what was done
before a kill is done, and a second call goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from longctx.kernels.coded import Bias
from longctx.kernels.eight_bits import make_eight, make_eights
from longctx.kernels.flash import BLOCK
from longctx.runtime.config import load_config
from longctx.runtime.decoder import Decoder, build_decoder
from longctx.runtime.errors import ModelError
from longctx.runtime.extension import extensions
from longctx.runtime.install import disk_full_explained
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.node_memory import NodeMemory
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_chain import NODE, Link, node_name, root_name
from longctx.runtime.prefix_node import Facts
from longctx.runtime.prefix_settings import (
    are_eight_bits,
    are_of_here,
    config_of,
    dtype_of,
    in_eight_bits,
)
from longctx.runtime.prefix_store import NoRoom, PrefixStore, StoredPrefix
from longctx.runtime.store import resolve
from longctx.runtime.weights import open_weights

_DAMAGED = "a node of it was damaged, or removed meanwhile"


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What came of one Prefix.

    `num_nodes` of `num_tokens` were made, of `bytes_before` in bfloat16 `bytes_after` in 8 bits;
    `num_there` were in 8 bits before. `freed_bytes` are those of what was replaced. `problem` says
    why no more was made; it is empty where all of it is in 8 bits.
    """

    num_nodes: int = 0
    num_tokens: int = 0
    num_there: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    freed_bytes: int = 0
    problem: str = ""


class _CannotShrink(Exception):
    """A Prefix of which no run in 8 bits could make use."""


def shrink(
    store: PrefixStore,
    prefix: StoredPrefix,
    root: Path,
    *,
    replaces: bool = False,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Shrunk:
    """Returns what came of bringing a Prefix to 8 bits; the model is looked for in `root`.

    Where it `replaces` them, nodes in bfloat16 go once all of the Prefix is in 8 bits, but for
    those that another Prefix shares.

    Raises:
        ModelError: the disk is full, or the limit of the store leaves no room; what was made stays.
    """
    if are_eight_bits(prefix.facts.settings):
        found = [store.sound(name) for name in prefix.names] if replaces else []
        if None in found:
            return Shrunk(problem=_DAMAGED)
        old = [facts.made_of for facts in found if facts and facts.made_of]
        done = Shrunk(num_there=len(prefix.names))
    else:
        old = list(prefix.names)
        try:
            work = _Work(store, prefix, root)
        except (_CannotShrink, ModelError) as error:
            return Shrunk(problem=str(error))
        with disk_full_explained(store.directory, 0):
            done = work.run(advance)
    if not replaces or done.problem:
        return done
    return replace(done, freed_bytes=store.remove(store.only_in(old)))


class _Work:
    """A Prefix, the chain that it is to become, and what its rows are made with."""

    def __init__(self, store: PrefixStore, prefix: StoredPrefix, root: Path) -> None:
        """Check that a run in 8 bits would find the nodes; write nothing yet.

        Raises:
            _CannotShrink: none would.
            ModelError: the model is not installed, or does not run in 8 bits.
        """
        self._store, self._names = store, prefix.names[::-1]
        first = store.tokens(self._names[0])
        if first is None or first[0].start:
            raise _CannotShrink("its beginning is gone: longctx cache gc removes the rest")
        settings = prefix.facts.settings
        if dtype_of(settings) != "bfloat16":
            raise _CannotShrink(f"it was read in {dtype_of(settings)}, expected bfloat16")
        if not are_of_here(settings):
            raise _CannotShrink("another version of longctx or torch read it, or another processor")
        files = resolve(root, prefix.facts.model, progress=lambda phase, done, total: None)
        if root_name(files.digest, settings) != first[0].parent:
            raise _CannotShrink(f"the model {files.name!r} is not what it was when it was read")
        config = config_of(settings, extensions(load_config(files.directory)))
        if config is None:
            raise _CannotShrink("it was read by an extension that is not known here")
        numerics = choose_numerics("bfloat16", kv8=True)
        decoder = build_decoder(config, open_weights(files.directory), numerics)
        self._settings = in_eight_bits(settings)
        self._root = root_name(files.digest, self._settings)
        self._coder = _Coder(decoder, prefix.facts.end)
        # what is there stays: a copy is not worth what it would drive out
        self._keep = {name for one in store.prefixes() for name in one.names}
        self._stamp = store.stamp()

    def run(self, advance: Callable[[int, int], None]) -> Shrunk:
        """Returns what came of it, node by node.

        Raises:
            ModelError: the limit of the store leaves no room.
            OSError: the disk is full or broken.
        """
        done, parent, converted = Shrunk(), self._root, 0
        for index, name in enumerate(self._names):
            advance(index, len(self._names))
            old, ids = self._store.tokens(name) or (None, None)
            if old is None or ids is None:
                return replace(done, problem=_DAMAGED)
            link = Link(node_name(parent, ids), parent, old.start, old.end)
            there = self._store.sound(link.name)
            if there is not None:
                self._store.touch([link], self._stamp)
                converted = max(converted, there.converted)
                done = replace(done, num_there=done.num_there + 1)
            else:
                converted += old.end - old.start
                made = self._make(old, link, ids, converted)
                if made is None:
                    return replace(done, problem=_DAMAGED)
                done = replace(
                    done,
                    num_nodes=done.num_nodes + 1,
                    num_tokens=done.num_tokens + old.end - old.start,
                    bytes_before=done.bytes_before + old.num_bytes,
                    bytes_after=done.bytes_after + made.num_bytes,
                )
            self._keep.add(link.name)
            parent = link.name
        return done

    def _make(self, old: Facts, link: Link, ids: NDArray[np.int32], converted: int) -> Facts | None:
        """Returns what the node says of itself that was made; None if there is none after all."""
        rows, codes = self._coder.rows, self._coder.codes
        count = link.end - link.start
        was = Link(old.name, old.parent, old.start, old.end)
        if self._store.load(was, ids, NodeMemory(rows.runs(0, count)).buffers) is None:
            return None
        self._coder.code(link.start, count)
        buffers = NodeMemory(codes.runs(0, count)).buffers
        facts = replace(
            old,
            name=link.name,
            parent=link.parent,
            num_bytes=sum(map(len, buffers)),
            settings=self._settings,
            made_of=old.name,
            converted=converted,
        )
        keep = self._keep | {link.name}
        try:
            self._store.save(facts, ids, buffers, stamp=self._stamp, keep=keep)
        except NoRoom as error:
            raise ModelError(
                f"{self._store.directory}: {error}",
                "longctx cache rm NAME, or more room: LONGCTX_CACHE_BYTES=20G",
            ) from error
        return facts if self._store.has(link) else None


class _Coder:
    """Codes the rows of one node at a time: from `rows`, in bfloat16, to `codes`, in 8 bits."""

    def __init__(self, decoder: Decoder, end: int) -> None:
        """Make room for a node, and know how the bias of keys is turned before `end`."""
        config, how = decoder.config, (decoder.frequencies, decoder.reach)
        self.rows = KVCache(config, NODE, torch.bfloat16)
        self._eights = make_eights(decoder.key_biases, NODE, *how)
        self.codes = KVCache(config, NODE, torch.bfloat16, eights=self._eights)
        self._whole = make_eight(decoder.key_biases[0], end, *how)

    def code(self, start: int, count: int) -> None:
        """Code the first `count` rows, which are those of the tokens from `start` on.

        The bias leaves the keys before they are rounded, as it does where they are read so.
        """
        blocks = slice(start // BLOCK, None)
        cos, sin = self._whole.cos[blocks], self._whole.sin[blocks]
        self.codes.eights = [replace(eight, cos=cos, sin=sin) for eight in self._eights]
        places = torch.arange(count)
        for layer, eight in enumerate(self._eights):
            keys, values = self.rows.keys[layer][:, :count], self.rows.values[layer][:, :count]
            bare = keys.float() - Bias(eight.bias, cos, sin).of(places)
            self.codes.write(layer, 0, bare.transpose(0, 1), values.transpose(0, 1))
