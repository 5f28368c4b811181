"""A layer of the decoder for the few newest tokens of an answer, in two compiled calls.

The first ends with queries turned and keys and values written; then it may be chosen which keys
they attend to, and the second does the rest. Its weights are Narrow, keys and values in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.kernels.flash import BLOCK, Queries, Work, all_of
from longctx.kernels.narrow import Stack, narrow, stack

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Turned:
    """How the keys and queries of the newest tokens are turned, and which keys each View holds.

    `places` [T] are where their keys and values go in the KVCache. `keys` is cos and sin
    [2, T, D / 2], `queries` those of each View [V, 2, T, D / 2].
    """

    places: NDArray[np.int64]
    keys: Floats
    queries: Floats
    views: tuple[tuple[int, int], ...]

    @property
    def position(self) -> int:
        """Where the first of them lies."""
        return int(self.places[0])

    def seen(self, queries: Tensor) -> Queries:
        """Returns queries [V, H, T, D] with the keys that each View holds."""
        return [(*view, one) for view, one in zip(self.views, queries, strict=True)]


def turned(
    position: int,
    keys: tuple[Tensor, Tensor],
    queries: Sequence[tuple[int, int, tuple[Tensor, Tensor]]],
) -> Turned:
    """Returns the rotations of tokens from `position` on, of each View its begin and end first."""
    turns = torch.stack([torch.stack(turn) for _, _, turn in queries])
    views = tuple((begin, end) for begin, end, _ in queries)
    places = np.arange(position, position + turns.shape[2])
    return Turned(places, torch.stack(keys).numpy(), turns.numpy(), views)


@dataclass(frozen=True, slots=True)
class AnswerLayer:
    """What a layer is made of: matrices joined for few calls, norms, and how wide a head is.

    `head_norms` [2, D] are of queries and keys, [2, 0] where they are not normed.
    """

    qkv: Stack
    out: Stack
    gate_up: Stack
    down: Stack
    norm: Floats
    mlp_norm: Floats
    head_norms: Floats
    head_dim: int
    eps: float

    def into_heads(self, x: Floats, turn: Turned, keys: Tensor, values: Tensor) -> Tensor:
        """Returns the queries [V, H, T, D] of x [T, hidden], its keys and values written in place.

        `keys` and `values` [G, S, D] are those of the whole KVCache, in bfloat16.
        """
        num_heads = self.qkv.parts[0].num_rows // self.head_dim
        shape = len(turn.views), num_heads, len(x), self.head_dim
        queries = torch.empty(shape, dtype=torch.bfloat16)
        _loops().into_heads(
            self.qkv.table,
            self.qkv.bias,
            np.array(self.qkv.starts),
            x,
            self.norm,
            self.head_norms,
            self.eps,
            turn.keys,
            turn.queries,
            *(_bits(rows) for rows in (queries, keys, values)),
            turn.places,
            torch.get_num_threads(),
        )
        return queries

    def out_of_heads(
        self,
        x: Floats,
        queries: Tensor,
        work: Work,
        position: int | None,
        keys: Tensor,
        values: Tensor,
    ) -> None:
        """Add to x [T, hidden] what its queries see, and what the SwiGLU makes of it then.

        The first of the queries lies at `position`, and none sees a key behind its own; without a
        `position` each sees all that it is given in `work`.
        """
        _loops().out_of_heads(
            work.units,
            work.items,
            work.num_slots,
            *(_bits(rows) for rows in (queries, keys, values)),
            position or 0,
            position is not None,
            (self.out.table, self.gate_up.table, self.down.table),
            self.gate_up.parts[0].num_rows,
            self.mlp_norm,
            self.eps,
            x,
            torch.get_num_threads(),
        )


def warm_up() -> None:
    """Return when the loops are compiled, or loaded from where numba keeps them."""
    matrix = stack([narrow(torch.zeros(BLOCK, BLOCK), 8)])
    three, none = stack(matrix.parts * 3), np.empty((2, 0), dtype=np.float32)
    norm = np.ones(BLOCK, dtype=np.float32)
    layer = AnswerLayer(
        three, matrix, stack(matrix.parts * 2), matrix, norm, norm, none, BLOCK, 1.0
    )
    turn = torch.zeros(1, BLOCK // 2), torch.zeros(1, BLOCK // 2)
    x, turns = np.zeros((1, BLOCK), dtype=np.float32), turned(0, turn, [(0, 1, turn)])
    keys, values = torch.zeros(2, 1, 1, BLOCK, dtype=torch.bfloat16)
    queries = layer.into_heads(x, turns, keys, values)
    work = all_of(turns.views, 1, 1, True, torch.get_num_threads())
    layer.out_of_heads(x, queries, work, 0, keys, values)


def _bits(rows: Tensor) -> NDArray[np.uint16]:
    bits: NDArray[np.uint16] = rows.view(torch.uint16).numpy()
    return bits


def _loops() -> Any:
    """The compiled loops on as many threads as torch has."""
    from longctx.kernels import answer_loops
    from longctx.kernels.threads import use_threads

    use_threads(torch.get_num_threads())
    return answer_loops
