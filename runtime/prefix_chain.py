"""The names of a Prefix's nodes: each stands for its own token ids and for all that came before.

A node is NODE consecutive tokens; a Prefix that ends before a question has one shorter node last. A
name is a hash of the parent's name and the node's token ids, and the first parent's is a hash of
whatever else keys and values depend on. So two prompts share exactly the nodes of their common
beginning, whatever follows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Small enough that little is read again where two prompts part, and whole micro-batches, so that
# reading goes on from a stored node in the very pieces in which it would have come there.
NODE = 1_024
_DIGEST_BYTES = 16
# What computes keys and values: other code may come to other numbers. It is found from here and not
# by import: what an uninstalled copy leaves in site-packages can pass for the package `kernels`.
_ROOT = Path(__file__).parents[1]
_CODE = (
    "kernels/*.py",
    *(f"runtime/{name}.py" for name in ("decoder", "kv_cache", "layer", "micro_batch")),
    *(f"runtime/{name}.py" for name in ("device_reader", "device_weights", "host_reader")),
    "runtime/narrow_weights.py",
)


@dataclass(frozen=True, slots=True)
class Link:
    """A node's place in a chain: the tokens [start, end), its name and its parent's."""

    name: str
    parent: str
    start: int
    end: int


def root_name(*dependencies: str) -> str:
    """Returns the name that a chain begins with: a hash of what the model and its settings are."""
    return blake2b("\0".join(dependencies).encode(), digest_size=_DIGEST_BYTES).hexdigest()


@cache
def code_digest(root: Path = _ROOT, patterns: Iterable[str] = _CODE) -> str:
    """Returns a hash of the source files below `root` that match the patterns."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for pattern in patterns:
        files = sorted(root.glob(pattern))
        assert files, f"no {pattern} in {root}"
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def node_name(parent: str, token_ids: NDArray[np.int32]) -> str:
    """Returns the name of the node with these tokens after `parent`."""
    content = bytes.fromhex(parent) + token_ids.astype("<i4").tobytes()
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def chain(root: str, token_ids: NDArray[np.int32], *, tail: bool) -> list[Link]:
    """Returns the Links of a Prefix; with `tail` also of what is left over at its end."""
    links, parent, end = list[Link](), root, len(token_ids)
    for start in range(0, end if tail else end - end % NODE, NODE):
        stop = min(start + NODE, end)
        name = node_name(parent, token_ids[start:stop])
        links.append(Link(name, parent, start, stop))
        parent = name
    return links
