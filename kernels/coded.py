"""Rows of keys or values in 8 bits that are read like a tensor of what they stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longctx.kernels.rope import rotate


@dataclass(frozen=True, slots=True)
class Bias:
    """What keys lack: by its place in a Block [G, BLOCK, D], and how each Block is turned.

    `cos` and `sin` [N, D / 2] begin with the Block of the first row.
    """

    by_place: Tensor
    cos: Tensor
    sin: Tensor

    def of(self, places: Tensor) -> Tensor:
        """Returns the bias of the keys at `places` [n], turned, float32 [G, n, D]."""
        size = self.by_place.shape[1]
        blocks = places // size
        unturned = self.by_place[:, places % size].transpose(0, 1)
        return rotate(unturned, self.cos[blocks], self.sin[blocks]).transpose(0, 1)


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows [G, S, D]: int8 codes, the step of each row, float32 [G, S], and what is added to them.

    Of a tensor it has the shape, slices of the second axis, and `float`.
    """

    codes: Tensor
    scales: Tensor
    bias: Bias | None = None

    @property
    def shape(self) -> torch.Size:
        """The lengths of the axes."""
        return self.codes.shape

    def __len__(self) -> int:
        """The length of the first axis."""
        return len(self.codes)

    def __getitem__(self, at: tuple[slice, slice]) -> Coded:
        """Returns a run of the rows, in place; with a bias it begins where a Block does."""
        bias, start = self.bias, at[1].start or 0
        assert at[0] == slice(None) and at[1].step is None and start >= 0, at
        if bias is not None and start:
            block, inside = divmod(start, bias.by_place.shape[1])
            assert not inside, f"{start} is no begin of a Block"
            bias = replace(bias, cos=bias.cos[block:], sin=bias.sin[block:])
        return Coded(self.codes[at], self.scales[at], bias)

    def float(self) -> Tensor:
        """Returns what all rows stand for, float32."""
        whole = self.codes.float() * self.scales[..., None]
        if self.bias is None:
            return whole
        return whole + self.bias.of(torch.arange(whole.shape[1], device=whole.device))

    def picked(self, group: int, places: Tensor) -> Tensor:
        """Returns what the rows of a group at `places` [n] stand for, bfloat16 [n, D]."""
        whole = self.codes[group, places].float() * self.scales[group, places, None]
        if self.bias is not None:
            own = replace(self.bias, by_place=self.bias.by_place[group : group + 1])
            whole += own.of(places)[0]
        return whole.bfloat16()


Rows = Tensor | Coded
"""Keys or values [G, S, D]."""
