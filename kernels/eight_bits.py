"""Keys and values in 8 bits, the bias of the keys kept out of them.

Qwen2.5 adds a bias to its keys that is many times larger than what tells one key from another, and
which 8 bits with it inside would drown. It is known exactly, so only the product is rounded, turned
to its position and scaled row by row, and the bias is added again where keys are read: turned to
its place inside a Block by a table, and from there to the Block's position by one rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longctx.kernels.coded import Bias, Coded
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import BLOCK
from longctx.kernels.rope import angles, rotate

MOST = 127


@dataclass(frozen=True, slots=True)
class Eight:
    """What makes keys and values of int8 [G, S, D] whole again.

    `key_scales` and `value_scales` float32 [G, S] are the step of each row. `bias` [G, BLOCK, D] is
    the bias turned to each place of a Block; `cos` and `sin` [N, D / 2] turn it to the Blocks.
    `places` [BLOCK, D] are the cosines of the places' angles and then their sines.
    """

    key_scales: Tensor
    value_scales: Tensor
    bias: Tensor
    cos: Tensor
    sin: Tensor
    places: Tensor


def make_eight(bias: Tensor, capacity: int, frequencies: Tensor, reach: DualChunk | Plain) -> Eight:
    """Returns the Eight of `capacity` tokens whose keys have the `bias` [G, D], not turned yet.

    Chunks begin where Blocks do. All is on the device of `frequencies` [D / 2].
    """
    device, num_groups = frequencies.device, bias.shape[0]
    key_scales, value_scales = torch.empty((2, num_groups, capacity), device=device)
    places = angles(frequencies, torch.arange(BLOCK, device=device))
    by_place = rotate(bias.to(device).float().expand(BLOCK, *bias.shape), *places)
    starts = reach.key_positions(torch.arange(0, capacity, BLOCK)).to(device)
    cos, sin = angles(frequencies, starts)
    by_place = by_place.transpose(0, 1).contiguous()
    return Eight(key_scales, value_scales, by_place, cos, sin, torch.cat(places, -1))


def make_eights(
    biases: Sequence[Tensor], capacity: int, frequencies: Tensor, reach: DualChunk | Plain
) -> list[Eight]:
    """Returns the Eight of each layer; those of one position share their angles."""
    eights = list[Eight]()
    for bias in biases:
        eight = make_eight(bias, capacity, frequencies, reach)
        eights.append(replace(eight, cos=eights[0].cos, sin=eights[0].sin) if eights else eight)
    return eights


def coded(keys: Tensor, values: Tensor, eight: Eight) -> tuple[Coded, Coded]:
    """Returns keys and values of int8 [G, S, D], the first of a cache or all, as Coded."""
    length, bias = keys.shape[1], Bias(eight.bias, eight.cos, eight.sin)
    return (
        Coded(keys, eight.key_scales[:, :length], bias),
        Coded(values, eight.value_scales[:, :length]),
    )


def restored(keys: Tensor, values: Tensor, eight: Eight) -> tuple[Tensor, Tensor]:
    """Returns what keys and values [G, S, D] stand for, float32: the reference of the kernels."""
    whole_keys, whole_values = coded(keys, values, eight)
    return whole_keys.float(), whole_values.float()


def store(k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, eight: Eight) -> None:
    """Round keys, turned and without their bias, and values [T, G, D] into a cache [G, S, D]."""
    from longctx.kernels.coded_loops import round_rows

    for rows, codes, scales in ((k, keys, eight.key_scales), (v, values, eight.value_scales)):
        round_rows(rows.float().contiguous().numpy(), codes.numpy(), scales.numpy(), start)
