"""The choice of Blocks in Triton's interpreter against the one that sorts."""

import pytest
import torch

from longctx.kernels.blocks import BlockRule, block_means, choose_blocks, predicted_mass
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.triton_attention import num_tiles
from longctx.kernels.triton_selection import (
    choose_for_one,
    choose_lists,
    lists_of,
    predicted_scores,
    write_means,
)
from longctx.kernels.turns import make_turns

RULES = [
    BlockRule(dense_below=0),
    BlockRule(640, 0.9, 1, 2, dense_below=0),
    BlockRule(64, 0.5, 0, 0, dense_below=0),
    BlockRule(10**9, 1.0, dense_below=0),
]


def as_bool(lists, tile, num_blocks):
    """bool [G, N] of what a tile's lists name, each once and in order."""
    chosen = torch.zeros(lists.index.shape[1], num_blocks, dtype=torch.bool)
    for group, (blocks, ends) in enumerate(zip(lists.index[tile], lists.ends[tile], strict=True)):
        named = blocks[: ends[2]]
        assert (named.diff() > 0).all()
        chosen[group, named] = True
    return chosen


def listed(mass, rule):
    """What the kernel chooses from a predicted mass [G, N], N even."""
    num_groups, num_blocks = mass.shape
    turns = make_turns(Plain(), torch.ones(1), num_blocks * BLOCK, TILE)
    scores = torch.zeros(num_groups, num_tiles(TILE), 1, num_blocks)
    scores[:, 0, 0] = mass.log()
    return as_bool(lists_of(scores, turns, rule), 0, num_blocks)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("num_blocks", [6, 302])
def test_the_choice_is_that_of_the_sort(num_blocks, rule):
    generator = torch.Generator().manual_seed(num_blocks)
    mass = (4 * torch.randn(3, num_blocks, generator=generator)).softmax(-1)
    got, expected = listed(mass, rule), choose_blocks(mass, rule)
    for row, mine, theirs in zip(mass, got, expected, strict=True):
        # a Block on the very border may fall either way, its mass being no more than rounding
        assert row[mine ^ theirs].sum() < 1e-6


@pytest.mark.parametrize("count", [3, 4, 17])
def test_equal_masses_leave_no_more_than_there_is_room_for(count):
    mass = torch.full((2, 40), 1 / 40)
    got = listed(mass, BlockRule(count * BLOCK, 1.0, sinks=1, window=2, dense_below=0))
    assert got.sum(-1).tolist() == [count, count]
    half = listed(mass, BlockRule(10**9, 0.5125, sinks=0, window=0, dense_below=0))
    assert half.sum(-1).tolist() == [21, 21]


def test_torn_and_early_tiles_see_everything():
    reach, rule = Plain(), BlockRule(64, 0.5, sinks=1, window=1, dense_below=2 * TILE)
    start, num_tokens = TILE, 3 * TILE + 5
    turns = make_turns(reach, torch.ones(1), start, num_tokens)
    scores = torch.randn(1, num_tiles(num_tokens), 1, 8)
    lists = lists_of(scores, turns, rule)
    assert lists.ends[:4, 0, 2].tolist() == [2, 2, 2, 8]
    assert as_bool(lists, 3, 8).all()


def test_scores_and_lists_follow_the_ranges_of_dual_chunk_attention():
    numbers, rule = DualChunk(448, 64, 300), BlockRule(320, 0.9, 1, 2, dense_below=0)
    start, H, G, D = 768 + TILE, 4, 2, 32
    generator = torch.Generator().manual_seed(1)
    q = 3 * torch.randn(2 * TILE, H, D, generator=generator)
    keys = torch.randn(G, start + 2 * TILE, D, generator=generator)
    means = torch.empty(G, keys.shape[1] // BLOCK, D)
    write_means(keys, means, 0, start + 3)
    write_means(keys, means, start + 3, keys.shape[1])
    torch.testing.assert_close(means, block_means(keys))

    frequencies = inverse_frequencies(D, 1e4, {})
    turns = make_turns(numbers, frequencies, start, 2 * TILE)
    scores = predicted_scores(q, means, turns)
    lists = choose_lists(q, means, turns, rule)
    for tile in range(2):
        rows = slice(tile * TILE, (tile + 1) * TILE)
        views = numbers.views(start + tile * TILE, TILE)
        turned = [
            (view.begin, view.end, rotate(q[rows], turns.cos[i, rows], turns.sin[i, rows]))
            for i, view in enumerate(views)
        ]
        turned = [(begin, end, t.transpose(0, 1)) for begin, end, t in turned]
        num_blocks = (start + tile * TILE) // BLOCK
        expected = predicted_mass(turned, means[:, :num_blocks])
        got = scores[:, tile, :, :num_blocks].softmax(-1).mean(1)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
        chosen = choose_blocks(expected, rule)
        assert torch.equal(as_bool(lists, tile, num_blocks), chosen)
        blocks = torch.arange(num_blocks)
        for part, view in enumerate(views[:2]):
            upto = chosen & (blocks < view.end // BLOCK)
            assert lists.ends[tile, :, part].tolist() == upto.sum(-1).tolist()


@pytest.mark.parametrize("position", [3 * 384 + 130, 384 + 7, 130])
def test_a_single_query_chooses_by_its_own_mass_among_the_blocks_before_its_tile(position):
    generator = torch.Generator().manual_seed(position)
    reach, rule = DualChunk(448, 64, 300), BlockRule(256, 0.9, 1, 1, dense_below=0)
    frequencies = inverse_frequencies(32, 1e4, {})
    q = 3 * torch.randn(1, 6, 32, generator=generator)
    # means that nobody wrote yet lie behind those of the Blocks that are whole
    means = torch.full((2, 30, 32), float("nan"))
    before = position // TILE * TILE // BLOCK
    means[:, :before] = torch.randn(2, before, 32, generator=generator)
    turns = make_turns(reach, frequencies, position, 1)
    got = as_bool(choose_for_one(q, means, turns, rule), 0, 30)
    factor = reach.temperature(torch.tensor([position]))
    views = [
        (
            view.begin,
            view.end,
            factor * rotate(q, *angles(frequencies, view.positions)).transpose(0, 1),
        )
        for view in reach.views(position, 1)
    ]
    expected = choose_blocks(predicted_mass(views, means[:, :before]), rule)
    assert 2 < expected.sum() < expected.numel() or before < 4
    assert got[:, :before].equal(expected) and not got[:, before:].any()
