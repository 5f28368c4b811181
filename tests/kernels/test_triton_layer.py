"""The small kernels of a layer in Triton's interpreter against the references."""

import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.rope import angles, inverse_frequencies
from longctx.kernels.triton_layer import rms_norm, store, swiglu
from longctx.kernels.turns import make_turns


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("num_rows", "size"), [(1, 64), (3, 896), (5, 1537)])
def test_rms_norm_equals_the_reference(num_rows, size):
    # rows that lie apart
    x = 5 * torch.randn(num_rows, size + 3)[:, :size]
    weight = torch.randn(size)
    close(rms_norm(x, weight, 1e-6), reference.rms_norm(x, weight, 1e-6))
    added, before = torch.randn(num_rows, size), x.clone()
    got = rms_norm(x, weight, 1e-6, added)
    close(x, before + added)
    close(got, reference.rms_norm(before + added, weight, 1e-6))


@pytest.mark.parametrize(("num_rows", "size"), [(1, 8), (3, 1024), (2, 1500)])
def test_swiglu_equals_the_reference(num_rows, size):
    gate_up = 3 * torch.randn(num_rows, 2 * size)
    close(swiglu(gate_up), reference.swiglu(*gate_up.chunk(2, -1)))


@pytest.mark.parametrize(("start", "num_tokens"), [(0, 1), (37, 16), (384, 45), (700, 1)])
def test_keys_are_stored_turned_and_values_as_they_are(start, num_tokens):
    numbers, G, D, capacity = DualChunk(448, 64, 300), 3, 32, 800
    frequencies = inverse_frequencies(D, 1e4, {})
    # queries before, something after, as in one product of all three
    rows = torch.randn(num_tokens, 2 + 2 * G + 1, D)
    k, v = rows[:, 2 : 2 + G], rows[:, 2 + G : 2 + 2 * G]
    keys, values = (torch.full((G, capacity, D), 7.0) for _ in range(2))
    store(k, v, keys, values, make_turns(numbers, frequencies, start, num_tokens))
    positions = numbers.key_positions(torch.arange(start, start + num_tokens))
    turned = reference.rope(k, *angles(frequencies, positions)).transpose(0, 1)
    close(keys[:, start : start + num_tokens], turned)
    assert torch.equal(values[:, start : start + num_tokens], v.transpose(0, 1))
    for cache in (keys, values):
        untouched = torch.cat((cache[:, :start], cache[:, start + num_tokens :]), 1)
        assert (untouched == 7).all()
