"""Queries turned head by head, against the rotation in torch."""

import pytest
import torch

from longctx.kernels.flash import has_flash
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.turning import turned_heads


def turn(num_tokens, head_dim):
    frequencies = inverse_frequencies(head_dim, 1e6, {})
    return angles(frequencies, torch.arange(70_000, 70_000 + num_tokens))


@pytest.mark.parametrize(("num_tokens", "num_heads"), [(1, 1), (3, 5), (512, 12), (129, 14)])
@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_heads_are_turned_as_by_torch(num_tokens, num_heads, head_dim):
    x = torch.randn(num_tokens, num_heads, head_dim).bfloat16()
    cos, sin = turn(num_tokens, head_dim)
    got = turned_heads(x, cos, sin)
    exact = rotate(x.double(), cos.double(), sin.double()).transpose(0, 1)
    assert got.dtype == torch.bfloat16
    assert got.is_contiguous()
    # half of a step of bfloat16, and what float32 adds to it
    assert ((got - exact).abs() <= exact.abs() * 2**-8 + 1e-6).all()


def test_heads_that_lie_apart_are_turned_too():
    rows = torch.randn(70, 3 * 4 * 64).bfloat16()
    apart = torch.split(rows, [4 * 64] * 3, dim=1)[1].view(70, 4, 64)
    cos, sin = turn(70, 64)
    assert turned_heads(apart, cos, sin).equal(turned_heads(apart.contiguous(), cos, sin))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.skipif(not has_flash(), reason="no Form of flash for this processor")
def test_the_threads_change_nothing(threads):
    x, before = torch.randn(67, 6, 64).bfloat16(), torch.get_num_threads()
    cos, sin = turn(67, 64)
    expected = turned_heads(x, cos, sin)
    torch.set_num_threads(threads)
    try:
        assert turned_heads(x, cos, sin).equal(expected)
    finally:
        torch.set_num_threads(before)


def test_float32_stays_float32():
    x = torch.randn(9, 2, 64)
    cos, sin = turn(9, 64)
    assert turned_heads(x, cos, sin).equal(rotate(x, cos, sin).transpose(0, 1))
