"""Quotas: how much of what came before each KV head of each layer may attend to.

They are found at the length that is read (the Qwen2.5-1M report, arXiv 2501.15383, section on
sparsity refinement) and hold at every position: none depends on where a prompt ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

# More than is ever predicted: a head with this mass takes as many keys as it may.
NO_MASS = 2.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What a KV head gets: at most `max_keys` keys, fewer once `mass` is predicted."""

    max_keys: int
    mass: float


@dataclass(frozen=True, slots=True, repr=False)
class Quotas:
    """The Quota of every KV head of every layer."""

    layers: tuple[tuple[Quota, ...], ...]

    @property
    def digest(self) -> str:
        """A hash that other Quotas do not have."""
        return blake2b(repr(self.layers).encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        """The hash: what is named after a Rule is named after its Quotas too, and stays short."""
        return f"Quotas({self.digest})"
