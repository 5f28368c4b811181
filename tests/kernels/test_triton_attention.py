"""The attention kernel in Triton's interpreter against the references that see every pair."""

import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.triton_attention import Lists, attend, num_tiles
from longctx.kernels.turns import make_turns

NUMBERS = DualChunk(chunk_size=448, local_size=64, trained=300)


def random_qkv(num_queries, num_keys, num_heads, num_groups, head_dim):
    generator = torch.Generator().manual_seed(num_queries * 1000 + num_keys)
    shapes = (num_heads, num_queries), (num_groups, num_keys), (num_groups, num_keys)
    return [torch.randn(*shape, head_dim, generator=generator) for shape in shapes]


def cached(keys, reach, frequencies, spare=3):
    """Keys as the KVCache has them: turned once, with room behind them that nobody wrote."""
    num_groups, num_keys, head_dim = keys.shape
    turn = angles(frequencies, reach.key_positions(torch.arange(num_keys)))
    cache = torch.full((num_groups, num_keys + spare, head_dim), float("nan"))
    cache[:, :num_keys] = rotate(keys.transpose(0, 1), *turn).transpose(0, 1)
    return cache


def with_room(values, spare=3):
    return torch.nn.functional.pad(values, (0, 0, 0, spare), value=float("nan"))


def run(reach, start, num_queries, H=4, G=2, D=64, lists=None, splits=1, factor=1.0):
    """The kernel's output [H, T, D] and sums [H, T], and what went in."""
    q, keys, values = random_qkv(num_queries, start + num_queries, H, G, D)
    frequencies = inverse_frequencies(D, 1e4, {})
    turns = make_turns(reach, frequencies, start, num_queries, factor=factor)
    # rows apart from each other, as in a product that holds queries, keys and values
    rows = torch.full((num_queries, H + 1, D), float("nan"))
    rows[:, :H] = q.transpose(0, 1)
    out, lse = attend(
        rows[:, :H],
        cached(keys, reach, frequencies),
        with_room(values),
        turns,
        lists,
        splits=splits,
    )
    return out.transpose(0, 1), lse.T, (q, keys, values, frequencies)


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    ("start", "num_queries", "H", "G", "D"),
    [
        (0, 1, 2, 2, 64),
        (0, 130, 3, 1, 64),
        (100, 61, 7, 1, 64),
        (128, 128, 4, 2, 32),
        (383, 1, 14, 2, 64),
        (250, 9, 5, 1, 128),
        (127, 2, 4, 4, 16),
    ],
)
def test_plain_attention_equals_the_reference(start, num_queries, H, G, D):
    got, _, (q, keys, values, frequencies) = run(Plain(), start, num_queries, H, G, D)

    def turned(x, first):
        turn = angles(frequencies, torch.arange(first, first + x.shape[1]))
        return rotate(x.transpose(0, 1), *turn).transpose(0, 1)

    close(got, reference.attention(turned(q, start), turned(keys, 0), values))


@pytest.mark.parametrize(
    ("start", "num_queries", "D"),
    [
        (0, 140, 64),  # the first Chunk
        (384, 128, 64),  # where the second begins: intra and succ
        (384 + 301, 83, 128),  # up to its very end
        (768, 40, 64),  # where the third begins: all three ranges
        (3 * 384 + 130, 7, 128),
        (3 * 384 - 1, 1, 64),
    ],
)
def test_every_range_of_dual_chunk_attention_equals_the_reference(start, num_queries, D):
    got, _, inputs = run(NUMBERS, start, num_queries, H=2, G=1, D=D)
    close(got, reference.dual_chunk_attention(*inputs, NUMBERS))


@pytest.mark.parametrize(
    ("start", "num_queries", "splits"),
    [(90, 1, 3), (384, 2, 8), (800, 16, 3), (1300, 1, 8), (1270, 16, 5)],
)
def test_split_keys_equal_the_reference(start, num_queries, splits):
    got, lse, inputs = run(NUMBERS, start, num_queries, H=6, G=2, splits=splits)
    close(got, reference.dual_chunk_attention(*inputs, NUMBERS))
    _, whole, _ = run(NUMBERS, start, num_queries, H=6, G=2)
    close(lse, whole)


def test_the_log_of_the_sums_is_that_of_the_softmax():
    num_keys, frequencies = 200, inverse_frequencies(64, 1e4, {})
    _, lse, (q, keys, _, _) = run(Plain(), 0, num_keys, H=2, G=2, factor=0.7)
    turn = angles(frequencies, torch.arange(num_keys))
    q, keys = (rotate(x.transpose(0, 1), *turn).transpose(0, 1) for x in (q, keys))
    scores = 0.7 * q @ keys.transpose(1, 2) / 8
    hidden = torch.ones(num_keys, num_keys).triu(1).bool()
    close(lse, scores.masked_fill(hidden, float("-inf")).logsumexp(-1))


def random_lists(reach, start, num_queries, num_groups, share, seed):
    """Lists of Blocks and the same as bool [tiles, G, N]."""
    generator = torch.Generator().manual_seed(seed)
    tiles, first = num_tiles(num_queries), start // TILE
    most = (first + tiles) * TILE // BLOCK
    chosen = torch.rand(tiles, num_groups, most, generator=generator) < share
    index = torch.full((tiles, num_groups, most), -(2**31), dtype=torch.int32)
    ends = torch.zeros(tiles, num_groups, 3, dtype=torch.int32)
    borders = make_turns(reach, torch.ones(1), start, num_queries).borders
    for tile in range(tiles):
        before = (first + tile) * TILE // BLOCK
        chosen[tile, :, before:] = False
        for group in range(num_groups):
            blocks = chosen[tile, group].nonzero()[:, 0]
            index[tile, group, : len(blocks)] = blocks
            for part, border in enumerate([*borders[:2], 2**30]):
                ends[tile, group, part] = (blocks < border // BLOCK).sum()
    return Lists(index, ends), chosen


@pytest.mark.parametrize(
    ("start", "num_queries", "splits", "share"),
    [(640, 128, 1, 0.4), (576, 77, 1, 0.0), (703, 3, 4, 0.4), (576, 10, 1, 1.0)],
)
def test_lists_of_blocks_equal_the_reference(start, num_queries, splits, share):
    # one Chunk for everything: the reference of chosen Blocks knows no others
    lists, chosen = random_lists(Plain(), start, num_queries, 2, share, seed=start)
    got, _, (q, keys, values, frequencies) = run(
        Plain(), start, num_queries, H=6, G=2, lists=lists, splits=splits
    )
    turns = angles(frequencies, torch.arange(start + num_queries))
    keys = rotate(keys.transpose(0, 1), *turns).transpose(0, 1)
    q = rotate(q.transpose(0, 1), *(turn[start:] for turn in turns)).transpose(0, 1)
    close(got, reference.chosen_attention(q, keys, values, seen(chosen, start, num_queries)))


def seen(chosen, start, num_queries):
    """bool [G, T, S] of what each row sees: the Blocks of its tile's list, and the tile itself."""
    end = start + num_queries
    by_tile = chosen.repeat_interleave(BLOCK, 2)
    by_tile = torch.nn.functional.pad(by_tile, (0, max(0, end - by_tile.shape[2])))[..., :end]
    tile = torch.arange(start, end) // TILE
    own = torch.arange(end)[None] >= (tile * TILE)[:, None]
    return by_tile[tile - start // TILE].transpose(0, 1) | own


def test_lists_of_all_blocks_are_dual_chunk_attention():
    start, num_queries = 3 * 384 + 60, 100
    lists, _ = random_lists(NUMBERS, start, num_queries, 2, 1.0, seed=0)
    got, _, inputs = run(NUMBERS, start, num_queries, lists=lists)
    close(got, reference.dual_chunk_attention(*inputs, NUMBERS))
