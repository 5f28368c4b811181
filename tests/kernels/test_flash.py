"""Attention in the processor's own instructions, where it has them, against the references."""

import numpy as np
import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.blocks import BlockRule, Chosen, block_means
from longctx.kernels.flash import (
    BLOCK,
    TILE,
    attend_all,
    attend_items,
    can_flash,
    has_flash,
    items_of,
)
from longctx.kernels.sparse import attend_chosen, attend_one, attend_tiles

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of it")


def random_qkv(H, G, T, S, D, *, room=0):
    generator = torch.Generator().manual_seed(T * 1000 + S)
    shapes = (H, T, D), (G, S + room, D), (G, S + room, D)
    q, keys, values = (torch.randn(s, generator=generator).bfloat16() for s in shapes)
    return q, keys[:, :S], values[:, :S]


def error(got, expected):
    return ((got.float() - expected).norm() / expected.norm()).item()


def test_all_keys_equal_the_reference(ugly_shape):
    H, G, T, S, D = ugly_shape
    # a larger cache is read in place
    q, keys, values = random_qkv(H, G, T, S, D, room=13)
    out, lse = attend_all([(0, S, q)], keys, values)
    assert error(out, reference.attention(q, keys, values)) < 2**-8.5
    scores = torch.einsum("gtd,gsd->gts", q.float().view(G, -1, D), keys.float()) * D**-0.5
    scores = scores.view(H, T, S).masked_fill(
        torch.arange(S) > torch.arange(S - T, S)[:, None], float("-inf")
    )
    torch.testing.assert_close(lse, scores.logsumexp(-1), atol=2e-4, rtol=1e-5)


def test_a_row_is_the_same_bits_whatever_rows_are_read_with_it():
    q, keys, values = random_qkv(14, 2, 384, 1024, 64)
    whole, _ = attend_all([(0, 1024, q)], keys, values)
    first = 1024 - 384
    for start, end in ((0, 128), (128, 384)):
        part = q[:, start:end].contiguous()
        got, _ = attend_all(
            [(0, first + end, part)], keys[:, : first + end], values[:, : first + end]
        )
        assert torch.equal(got, whole[:, start:end])


def test_scores_that_grow_without_end_neither_overflow_nor_vanish():
    q, keys, values = random_qkv(2, 1, 200, 900, 64)
    # from far below to far above what a weight may be over its reference
    grown = (keys.float() * torch.linspace(-30, 60, 900)[:, None]).bfloat16()
    out, _ = attend_all([(0, 900, q)], grown, values)
    assert error(out, reference.attention(q, grown, values)) < 2**-7


def test_what_is_not_a_number_stays_so():
    q, keys, values = random_qkv(2, 1, 1, 100, 64)
    keys[0, 50] = float("nan")
    out, _ = attend_all([(0, 100, q)], keys, values)
    assert out.isnan().all()


def test_items_cover_all_keys_once():
    items = items_of(70, 300, 2)
    assert items[:, 2].tolist() == [2] * len(items)
    covered = np.concatenate([np.arange(start, start + n) for start, n, _ in items])
    assert covered.tolist() == list(range(70, 300))
    assert all(start % BLOCK == 0 for start in items[1:, 0])


@pytest.mark.parametrize("num_tiles", [1, 3])
def test_chosen_blocks_are_what_masks_leave(num_tiles):
    past, T = 10 * BLOCK, num_tiles * TILE
    q, keys, values = random_qkv(14, 2, T, past + T, 64)
    generator = torch.Generator().manual_seed(3)
    outs, lists = [], []
    for tile in range(num_tiles):
        rows, end = q[:, tile * TILE : (tile + 1) * TILE], past + (tile + 1) * TILE
        blocks = torch.rand(2, (end - TILE) // BLOCK, generator=generator) < 0.4
        one = [(0, end, rows)]
        outs.append(attend_chosen(one, keys[:, :end], values[:, :end], Chosen(blocks))[0])
        picked = [b.nonzero()[:, 0].numpy() * BLOCK for b in blocks]
        own = items_of(end - TILE, end, 0)
        lists.append(
            [
                np.concatenate([np.stack([p, p * 0 + BLOCK, p * 0], 1), own]).astype(np.int64)
                for p in picked
            ]
        )
    got, _ = attend_items([(0, past + T, q)], keys, values, lists)
    assert error(got, torch.cat(outs, 1)) < 2**-8.5


def test_a_rule_over_tiles_and_over_one_row_is_its_plain_form():
    rule = BlockRule(max_keys=512, dense_below=0)
    q, keys, values = random_qkv(14, 2, 3 * TILE + 50, 3000 - 3000 % TILE + 50, 64)
    end = keys.shape[1]
    means = block_means(keys)
    got = attend_tiles(rule, 0, [(0, end, q)], keys, values, means)
    exact = [t.float() for t in (q, keys, values)]
    expected = attend_tiles(rule, 0, [(0, end, exact[0])], *exact[1:], means)
    assert error(got, expected) < 2**-8
    last = [(0, end, q[:, -1:].contiguous())]
    exact_last = [(0, end, exact[0][:, -1:].contiguous())]
    got = attend_one(rule, last, keys, values, means)
    assert error(got, attend_one(rule, exact_last, *exact[1:], means)) < 2**-7


def test_other_numbers_and_sizes_are_left_to_torch():
    assert not can_flash(torch.zeros(1, 1, 64))
    assert not can_flash(torch.zeros(1, 1, 96, dtype=torch.bfloat16))
