"""Weights in 4 and 8 bits: their levels, their products, their reference."""

import pytest
import torch
from torch.nn.functional import linear

from longctx.kernels.linear import Narrowed, project
from longctx.kernels.narrow import (
    GROUP,
    Narrow,
    fits,
    multiply,
    narrow,
    narrow_bytes,
    widen,
)

SHAPES = [(1, 64), (3, 192), (77, 896), (300, 4864)]


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def published_in_4_bits(num_rows, width):
    """Weights with 16 levels a group, as a model published in 4 bits has them, in bfloat16."""
    seeded = torch.Generator().manual_seed(num_rows)
    codes = torch.randint(0, 16, (num_rows, width // GROUP, GROUP), generator=seeded)
    steps = torch.rand(num_rows, width // GROUP, 1, generator=seeded) * 0.02 + 0.001
    leasts = -steps * (6 + 3 * torch.rand(steps.shape, generator=seeded))
    return (codes * steps + leasts).view(num_rows, width).bfloat16()


def error(matrix, weight):
    return ((widen(matrix) - weight.float()).norm() / weight.float().norm()).item()


@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_levels_of_a_model_published_in_4_bits_are_found_again(num_rows, width):
    weight = published_in_4_bits(num_rows, width)
    matrix = narrow(weight)
    assert matrix.bits == 4
    # bfloat16 itself rounds by 2^-9 at most
    assert error(matrix, weight) < 2**-8.5


@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_other_weights_take_8_bits(num_rows, width):
    weight = gaussian(num_rows, width) * 0.01
    matrix = narrow(weight)
    assert matrix.bits == 8
    assert error(matrix, weight) < 0.006
    assert 0.01 < error(narrow(weight, 4), weight) < 0.11


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("num_tokens", [1, 2, 5])
@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_products_are_those_of_the_widened_matrix(num_rows, width, num_tokens, bits):
    matrix = narrow(gaussian(num_rows, width), bits)
    x = gaussian(num_tokens, width, seed=1)
    wide = widen(matrix).double()
    off = (multiply(matrix, x) - linear(x.double(), wide)).abs()
    # terms may cancel: rounding goes by their sizes
    assert (off <= 1e-6 * linear(x.double().abs(), wide.abs())).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1.0, 1e6])
def test_sizes_of_weights_do_not_matter(scale):
    weight = gaussian(5, 128) * scale
    assert error(narrow(weight, 8), weight) < 0.006


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_groups_of_one_value_are_exact(value):
    weight = torch.full((3, 64), value)
    for bits in (4, 8, None):
        assert torch.equal(widen(narrow(weight, bits)), weight)


def test_a_row_may_span_many_sizes():
    weight = gaussian(4, 256)
    weight[:, :64] *= 1e-3
    matrix = narrow(weight, 8)
    small = (widen(matrix) - weight)[:, :64]
    assert small.abs().max() < 1e-4


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_its_memory_is_foretold(shape, bits):
    matrix = narrow(gaussian(*shape), bits)
    parts = (matrix.codes, matrix.scales, matrix.leasts, matrix.units)
    assert narrow_bytes(shape, bits) == sum(part.nbytes for part in parts)


def test_project_adds_the_bias_in_the_dtype_of_the_row():
    weight, bias = gaussian(10, 64), gaussian(10, seed=2)
    x = gaussian(1, 64, seed=3)
    matrix = narrow(weight, 8)
    for dtype in (torch.float32, torch.bfloat16):
        out = project(x.to(dtype), matrix, bias.to(dtype))
        assert out.dtype == dtype
        near = linear(x, widen(matrix), bias)
        assert torch.allclose(out.float(), near, rtol=0.02, atol=0.02)


def test_rows_that_are_no_whole_runs_stay_as_they_are():
    narrowed = Narrowed(None)
    odd, even = gaussian(3, 96), gaussian(3, 128)
    assert not fits(odd)
    assert narrowed("odd", odd) is odd
    first = narrowed("even", even)
    assert isinstance(first, Narrow)
    assert narrowed("even", even) is first
