"""Keys and values in 8 bits, with a bias like that of Qwen2.5 beside them."""

import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.blocks import block_means
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.eight_bits import make_eight, restored
from longctx.kernels.flash import BLOCK
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.triton_attention import attend
from longctx.kernels.triton_layer import store
from longctx.kernels.triton_selection import write_means
from longctx.kernels.turns import make_turns

NUMBERS = DualChunk(chunk_size=448, local_size=64, trained=300)
H, G, D, CAPACITY = 4, 2, 64, 832


def stored(bias, length):
    """Keys without bias and values as given, and as they were stored in runs of one Chunk."""
    generator = torch.Generator().manual_seed(length)
    k, v = torch.randn(2, length, G, D, generator=generator)
    frequencies = inverse_frequencies(D, 1e4, {})
    eight = make_eight(bias, CAPACITY, frequencies, NUMBERS)
    keys, values = torch.full((2, G, CAPACITY, D), 99, dtype=torch.int8)
    for begin, end in [(0, 100), (100, 384), (384, 768), (768, length)]:
        turns = make_turns(NUMBERS, frequencies, begin, end - begin)
        store(k[begin:end], v[begin:end], keys, values, turns, eight)
    return k, v, keys, values, eight, frequencies


def test_the_bias_costs_the_keys_no_precision():
    size, length = 300.0, 800
    bias = size * torch.randn(G, D)
    k, v, keys, values, eight, frequencies = stored(bias, length)
    got, got_values = restored(keys[:, :length], values[:, :length], eight)
    turn = angles(frequencies, NUMBERS.key_positions(torch.arange(length)))
    expected = rotate(k + bias, *turn).transpose(0, 1)
    # half a step of 1/127 of the largest of a row, whatever the bias
    assert (got - expected).abs().max() < 0.5 / 127 * k.abs().max() * 1.5 + 1e-6 * size
    assert (got_values - v.transpose(0, 1)).abs().max() <= 0.5 / 127 * v.abs().max() + 1e-6

    means = torch.empty(G, CAPACITY // BLOCK, D)
    write_means(keys, means, 0, length, eight)
    whole = block_means(got)
    torch.testing.assert_close(means[:, : whole.shape[1]], whole, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("start", "tokens", "splits"), [(770, 30, 1), (799, 1, 3)])
def test_attention_reads_them_in_every_range(start, tokens, splits):
    _, _, keys, values, eight, frequencies = stored(3 * torch.randn(G, D), 800)
    q = torch.randn(tokens, H, D)
    turns = make_turns(NUMBERS, frequencies, start, tokens)
    got, _ = attend(q, keys, values, turns, splits=splits, eight=eight)
    whole, whole_values = restored(keys[:, :800], values[:, :800], eight)
    expected, _ = attend(q, whole.contiguous(), whole_values, turns)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    # and what they stand for is attended to as the reference does it
    back = rotate(
        whole.transpose(0, 1),
        *(f(NUMBERS.key_positions(torch.arange(800))) for f in unturning(frequencies)),
    ).transpose(0, 1)
    exact = reference.dual_chunk_attention(
        q.transpose(0, 1), back, whole_values, frequencies, NUMBERS
    )
    torch.testing.assert_close(got, exact.transpose(0, 1), atol=1e-3, rtol=1e-3)


def unturning(frequencies):
    """cos and sin of the opposite rotation."""
    return (
        lambda positions: angles(frequencies, positions)[0],
        lambda positions: -angles(frequencies, positions)[1],
    )
