"""Chosen Blocks of keys and values, gathered from the memory of the host into that of the device.

Pinned memory of the host has an address on the device, so a kernel reads from it what a list on
the device names, and nobody waits for the list.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from longctx.kernels.flash import BLOCK
from longctx.kernels.triton_attention import Lists


def gather_blocks(
    keys: Tensor, values: Tensor, near_keys: Tensor, near_values: Tensor, lists: Lists
) -> Lists:
    """Returns the Lists of the same Blocks where they lie now: side by side in the near tensors.

    `keys` and `values` [G, S, D] may be pinned memory of the host; the near ones [G, R, D] have
    room for all that `lists` name for one tile.
    """
    num_groups, _, head_dim = keys.shape
    assert keys.stride() == values.stride() and near_keys.stride() == near_values.stride()
    most = near_keys.shape[1] // BLOCK
    _gather[(most, num_groups)](
        keys,
        values,
        near_keys,
        near_values,
        lists.index,
        lists.ends,
        keys.stride(0),
        near_keys.stride(0),
        lists.index.stride(1),
        SIZE=BLOCK * head_dim,
    )
    index = torch.arange(most, dtype=torch.int32, device=near_keys.device)
    return Lists(index.expand(1, num_groups, most).contiguous(), lists.ends)


@triton.jit
def _gather(
    keys,
    values,
    near_keys,
    near_values,
    index,
    ends,
    stride,
    near_stride,
    list_stride,
    SIZE: tl.constexpr,
):
    """One Block of one KV head."""
    entry, head = tl.program_id(0), tl.program_id(1)
    if entry >= tl.load(ends + head * 3 + 2):
        return
    block = tl.load(index + head * list_stride + entry).to(tl.int64)
    place = tl.arange(0, SIZE)
    source = head.to(tl.int64) * stride + block * SIZE + place
    target = head.to(tl.int64) * near_stride + entry.to(tl.int64) * SIZE + place
    tl.store(near_keys + target, tl.load(keys + source))
    tl.store(near_values + target, tl.load(values + source))
