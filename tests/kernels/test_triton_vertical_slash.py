"""The mode `vertical-slash` in Triton's interpreter against its plain form."""

from dataclasses import replace

import pytest
import torch

from longctx.kernels import reference, reference_modes
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import make_eight, restored
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.triton_layer import store
from longctx.kernels.triton_lines import choose_lines, estimate
from longctx.kernels.triton_vertical_slash import attend_lines
from longctx.kernels.turns import make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule

GRID = 128
CHUNKS = DualChunk(chunk_size=448, local_size=64, trained=300)
LINES = VerticalSlashRule(vertical=30, slash=4, sinks=3, window=2, dense_below=0)


def by_head(num_heads):
    """As published: another pair for every head, here of the second of two layers."""
    pairs = [(70, 4), (5, 40), (66, 0), (0, 1), (10**6, 3), (130, 9), (1, 10**6)]
    return replace(LINES, quotas=[(), pairs[:num_heads]])


def case(reach, start, num_tokens, H, G, D):
    """Queries and keys not turned yet, values, the cache with room behind it, and the Turns."""
    generator = torch.Generator().manual_seed(start + num_tokens)
    end = start + num_tokens
    q = 2 * torch.randn(H, num_tokens, D, generator=generator)
    keys, values = torch.randn(2, G, end, D, generator=generator)
    frequencies = inverse_frequencies(D, 1e4, {})
    turn = angles(frequencies, reach.key_positions(torch.arange(end)))
    cache = torch.full((2, G, end + 3, D), float("nan"))
    cache[0, :, :end] = rotate(keys.transpose(0, 1), *turn).transpose(0, 1)
    cache[1, :, :end] = values
    turns = make_turns(reach, frequencies, start, num_tokens)
    return q, keys, values, cache, turns, frequencies


def dense_scores(reach, q, keys, frequencies):
    if reach.stride:
        return reference.dual_chunk_scores(q, keys, frequencies, reach)
    at = angles(frequencies, torch.arange(keys.shape[1]))
    keys = rotate(keys.transpose(0, 1), *at).transpose(0, 1)
    own = [table[-q.shape[1] :] for table in at]
    return reference.plain_scores(rotate(q.transpose(0, 1), *own).transpose(0, 1), keys)


def seen(scores, rule, layer, grid=GRID):
    """bool [H, T, S] of what each row sees: all of it in a torn piece of the grid."""
    num_heads, num_tokens, end = scores.shape
    start, found = end - num_tokens, torch.ones(scores.shape, dtype=torch.bool)
    for at in range(-(-start // grid) * grid, end - grid + 1, grid):
        if at >= rule.dense_below:
            rows, last = slice(at - start, at - start + grid), at + grid
            piece = reference_modes.vertical_slash(scores[:, rows, :last], layer, rule)
            found[:, rows, :last] = piece
    return found


def by_token(q):
    return q.transpose(0, 1).contiguous()


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize(
    ("reach", "start", "num_tokens", "H", "G", "D", "grid"),
    [
        (Plain(), 0, 128, 2, 2, 64, 128),
        (Plain(), 370, 150, 7, 1, 64, 128),  # torn at both ends
        (Plain(), 130, 125, 2, 1, 32, 128),  # nothing but torn
        (CHUNKS, 512, 140, 4, 2, 32, 128),  # intra and succ, torn at the end
        (CHUNKS, 1000, 152, 2, 1, 128, 128),  # all three ranges, up to the end of a Chunk
        (CHUNKS, 768, 256, 7, 1, 16, 256),  # two tiles in one piece
    ],
)
def test_the_mode_equals_its_reference(reach, start, num_tokens, H, G, D, grid):
    rule = by_head(7) if H == 7 else LINES
    q, keys, values, cache, turns, frequencies = case(reach, start, num_tokens, H, G, D)
    rows = torch.full((num_tokens, H + 1, D), float("nan"))
    rows[:, :H] = q.transpose(0, 1)
    got = attend_lines(rows[:, :H], *cache, turns, rule, 1, grid=grid).transpose(0, 1)
    scores = dense_scores(reach, q, keys, frequencies)
    chosen = seen(scores, rule, 1, grid)
    close(got, reference.attention_of_scores(scores, values, chosen))
    if start >= 300:
        everything = reference.attention_of_scores(scores, values, torch.ones_like(chosen))
        assert (got - everything).norm() > 0.05 * everything.norm(), "nothing is left out"


def test_rows_of_early_pieces_see_everything():
    q, keys, values, cache, turns, frequencies = case(Plain(), 256, 256, 2, 1, 32)
    rule = replace(LINES, dense_below=257)
    got = attend_lines(by_token(q), *cache, turns, rule, 1, grid=GRID).transpose(0, 1)
    scores = dense_scores(Plain(), q, keys, frequencies)
    chosen = seen(scores, rule, 1)
    assert chosen[:, :128].all() and not chosen[:, 128:].all()
    close(got, reference.attention_of_scores(scores, values, chosen))


@pytest.mark.parametrize("num_last", [16, 64, 100, 128])
def test_columns_and_diagonals_are_summed_over_all_ranges(num_last):
    q, keys, _, cache, turns, frequencies = case(CHUNKS, 1024, 128, 3, 1, 16)
    end = keys.shape[1]
    columns, diagonals = estimate(by_token(q), cache[0], turns, num_last)
    scores = dense_scores(CHUNKS, q, keys, frequencies)[:, -num_last:]
    later = torch.arange(end) > torch.arange(end - num_last, end)[:, None]
    weights = scores.masked_fill(later, float("-inf")).softmax(-1)
    close(columns, weights.sum(1))
    expected = torch.zeros(3, end)
    for row in range(num_last):
        at = end - num_last + row
        expected[:, : at + 1] += weights[:, row, : at + 1].flip(-1)
    close(diagonals, expected)


def test_what_a_row_sees_does_not_depend_on_what_follows_its_piece():
    q, _, _, cache, turns, _ = case(CHUNKS, 384, 256, 2, 1, 32)
    whole = attend_lines(by_token(q), *cache, turns, LINES, 1, grid=GRID)
    cache[:, :, 384 + GRID :] = float("nan")
    alone = turns.rows(0, GRID)
    first = attend_lines(by_token(q)[:GRID], *cache, alone, LINES, 1, grid=GRID)
    assert first.equal(whole[:GRID])


def test_lists_name_each_crossed_block_once_from_far_to_near():
    turns = make_turns(Plain(), torch.ones(1), 512, 256)
    columns, diagonals = torch.zeros(2, 768), torch.zeros(2, 768)
    columns[:, [700, 6, 130]] = 1.0
    # one that crosses two Blocks beside each tile, and one that crosses three
    diagonals[0, 320] = diagonals[1, 321] = 1.0
    rule = VerticalSlashRule(vertical=3, slash=1, sinks=0, window=0)
    lines = choose_lines(columns, diagonals, turns, rule, 0)
    assert lines.columns.tolist() == [[6, 130, 700]] * 2
    assert lines.column_ends.tolist() == [[0, 0, 3]] * 2
    counts = lines.farther[:, 0].tolist()
    assert [lines.back[head, :n].tolist() for head, n in enumerate(counts)] == [[5, 4], [6, 5, 4]]
    assert lines.farther[1].tolist() == [3, 3, 3, 3, 2, 1] + [0] * 7


def test_keys_in_8_bits_are_chosen_among_as_what_they_mean():
    start, H, G, D = 384, 4, 2, 32
    q, _, _, _, turns, frequencies = case(CHUNKS, start, GRID, H, G, D)
    k, v = torch.randn(2, start + GRID, G, D)
    eight = make_eight(torch.randn(G, D), start + GRID, frequencies, CHUNKS)
    codes = torch.zeros(2, G, start + GRID, D, dtype=torch.int8)
    for at in range(0, start + GRID, GRID):
        rows = slice(at, at + GRID)
        own = make_turns(CHUNKS, frequencies, at, GRID)
        store(k[rows], v[rows], *codes, own, eight)
    got = attend_lines(by_token(q), *codes, turns, LINES, 1, grid=GRID, eight=eight)
    whole = [x.contiguous() for x in restored(*codes, eight)]
    close(got, attend_lines(by_token(q), *whole, turns, LINES, 1, grid=GRID))
