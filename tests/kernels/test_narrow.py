"""Weights in 4 to 8 bits: their levels, their products in every form, their reference."""

import numba
import numpy as np
import pytest
import torch
from torch.nn.functional import linear, rms_norm, silu

from longctx.kernels import narrow_dots, narrow_loops, narrow_tile_loops
from longctx.kernels.narrow import (
    GROUP,
    Stack,
    bits_needed,
    fits,
    in_bytes,
    multiply,
    narrow,
    narrow_bytes,
    stack,
    swiglu,
    widen,
)
from longctx.kernels.narrow_tiles import TOKENS, UNPACKED, tiling, unpacking

SHAPES = [(1, 64), (3, 96), (77, 896), (300, 4864)]
BITS = [4, 5, 6, 8]


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def published(bits, num_rows, width):
    """Weights with 2^bits levels a group, as a model published so has them, in bfloat16."""
    seeded = torch.Generator().manual_seed(num_rows)
    group = GROUP // 2 if bits == 6 else GROUP
    middle = 2 ** (bits - 1)
    codes = torch.randint(0, 2**bits, (num_rows, width // group, group), generator=seeded)
    steps = torch.rand(num_rows, width // group, 1, generator=seeded) * 0.02 + 0.001
    if bits == 4:
        leasts = -steps * (6 + 3 * torch.rand(steps.shape, generator=seeded))
    else:
        # the greatest has the lowest code, so that the scale may be negative
        codes[..., 5], leasts = 0, -steps * middle
        steps[::2] *= -1
        leasts[::2] *= -1
    return (codes * steps + leasts).view(num_rows, width).bfloat16()


def error(matrix, weight):
    return ((widen(matrix) - weight.float()).norm() / weight.float().norm()).item()


def check_products(out, wide, x):
    """The products are exact but for float32, in which terms may cancel."""
    wide, x = wide.double(), in_bytes(x).double()
    off = (out - linear(x, wide)).abs()
    assert (off <= 2e-6 * linear(x.abs(), wide.abs()) + 1e-12).all()


@pytest.mark.parametrize("bits", [4, 5, 6])
@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_levels_of_a_model_published_in_few_bits_are_found_again(num_rows, width, bits):
    weight = published(bits, num_rows, width)
    assert bits_needed(weight) == bits
    # bfloat16 itself rounds by 2^-9 at most
    assert error(narrow(weight), weight) < 2**-8.5


@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_other_weights_take_8_bits(num_rows, width):
    weight = gaussian(num_rows, width) * 0.01
    matrix = narrow(weight)
    assert matrix.bits == 8
    assert error(matrix, weight) < 0.007
    assert 0.01 < error(narrow(weight, 4), weight) < 0.11


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("num_tokens", [1, 2, 4, 5, 8, 67])
@pytest.mark.parametrize(("num_rows", "width"), SHAPES)
def test_products_are_those_of_the_widened_matrix(num_rows, width, num_tokens, bits):
    matrix = narrow(gaussian(num_rows, width), bits)
    x = gaussian(num_tokens, width, seed=1)
    check_products(multiply(stack([matrix]), x)[0], widen(matrix), x)


@pytest.mark.parametrize("form", narrow_dots.FORMS.possible())
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("num_rows", [1, 4])
def test_every_form_of_the_product_is_exact(form, bits, num_rows):
    matrix = narrow(gaussian(16, 224), bits)
    x = gaussian(num_rows, 224, seed=1)
    # the largest codes of all: sums in 16 bits have no room for them
    x[:, :64], matrix.data[:, 64:320] = 1.0, 255
    with narrow_dots.FORMS.forced(form):
        dots = narrow_dots.panel_dots(bits, num_rows)

        @numba.njit
        def run(codes, scales, x, worths, sums, num_groups, out):
            dots(codes, scales, x, worths, sums, num_groups, out)

        codes, worths, sums, halves = narrow_loops.in_bytes(x.numpy())
        out = np.empty((num_rows, 16), dtype=np.float32)
        start, num_groups = matrix.data.ctypes.data + 64, 224 // GROUP
        run(
            start,
            start + num_groups * narrow_dots.code_bytes(bits),
            codes.ctypes.data,
            worths.ctypes.data,
            (halves if bits == 6 else sums).ctypes.data,
            num_groups,
            out.ctypes.data,
        )
    units = matrix.data[0, :64].view(np.float32)
    check_products(torch.from_numpy(out * units), widen(matrix), x)


@pytest.mark.parametrize("form", narrow_dots.FORMS.possible())
@pytest.mark.parametrize("bits", BITS)
def test_every_form_of_a_tile_is_exact(form, bits):
    width, num_groups = 224, 224 // GROUP
    matrix = narrow(gaussian(16, width), bits)
    x = gaussian(TOKENS, width, seed=1)
    # the largest sums of all, of either sign
    x[:2, :64], x[2:, :64], matrix.data[:, 64:320] = 1.0, -1.0, 255
    with narrow_dots.FORMS.forced(form):
        unpack, tile = unpacking(bits), tiling(bits)

        @numba.njit
        def run(place, scales, rows, num_groups, bias, scratch, floats, out):
            codes, worths, sums = rows
            unpack(place + 64, scales, num_groups, scratch, floats)
            tile(scratch, floats, codes, worths, sums, num_groups, place, bias, out, 64)

        codes, worths, sums, halves = narrow_tile_loops.code_rows(x.numpy(), x[0, :0].numpy(), 0.0)
        rows = [part.ctypes.data for part in (codes, worths, halves if bits == 6 else sums)]
        scratch = np.empty(2 * num_groups * UNPACKED, dtype=np.uint8)
        floats = np.empty(2 * num_groups * 16, dtype=np.float32)
        out, bias = (np.full((TOKENS, 16), 0.5, dtype=np.float32) for _ in range(2))
        place = matrix.data.ctypes.data
        scales = place + 64 + num_groups * narrow_dots.code_bytes(bits)
        addresses = [one.ctypes.data for one in (bias, scratch, floats, out)]
        run(place, scales, tuple(rows), num_groups, *addresses)
    check_products(torch.from_numpy(out - bias), widen(matrix), x)


def test_rows_in_bytes_are_near_the_rows():
    x = gaussian(3, 128) * torch.tensor([[1.0], [1e-6], [1e4]])
    assert ((in_bytes(x) - x).norm(dim=1) / x.norm(dim=1) < 0.01).all()
    assert not in_bytes(torch.zeros(1, 64)).any()


@pytest.mark.parametrize("num_tokens", [1, 3, 9])
def test_a_stack_gives_what_its_matrices_give_with_their_biases(num_tokens):
    shapes = [(40, 5), (16, 8), (3, 4)]
    parts = [narrow(gaussian(rows, 96, seed=rows), bits) for rows, bits in shapes]
    biases = [gaussian(40, seed=8), None, gaussian(3, seed=9)]
    norm, x = gaussian(96, seed=5), gaussian(num_tokens, 96, seed=6)
    whole = stack(parts, biases)
    assert isinstance(whole, Stack)
    normed = rms_norm(x, (96,), norm, 1e-6)
    found = multiply(whole, x, norm.numpy(), 1e-6)
    for part, bias, got in zip(parts, biases, found, strict=True):
        expected = linear(in_bytes(normed), widen(part), bias)
        # a number between two codes may become either
        torch.testing.assert_close(got, expected, rtol=0.02, atol=0.1)


@pytest.mark.parametrize("num_tokens", [1, 2, 30])
def test_swiglu_is_that_of_the_widened_matrices(num_tokens):
    gate, up, down = (
        narrow(gaussian(*shape, seed=shape[0]) / 8, 8) for shape in ((96, 64), (96, 64), (64, 96))
    )
    norm, x = gaussian(64, seed=1), gaussian(num_tokens, 64, seed=2)
    rows = in_bytes(rms_norm(x, (64,), norm, 1e-6))
    rows = silu(linear(rows, widen(gate))) * linear(rows, widen(up))
    expected = linear(in_bytes(rows), widen(down))
    got = swiglu(stack([gate, up]), stack([down]), x, norm.numpy(), 1e-6)
    assert (got - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1.0, 1e6])
def test_sizes_of_weights_do_not_matter(scale):
    weight = gaussian(5, 128) * scale
    assert error(narrow(weight, 8), weight) < 0.007


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_groups_of_one_value_are_kept(value):
    weight = torch.full((3, 64), value)
    for bits in (*BITS, None):
        assert torch.allclose(widen(narrow(weight, bits)), weight, rtol=1e-3, atol=0)


def test_a_row_may_span_many_sizes():
    weight = gaussian(4, 256)
    weight[:, :64] *= 1e-3
    matrix = narrow(weight, 8)
    small = (widen(matrix) - weight)[:, :64]
    assert small.abs().max() < 1e-4


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_its_memory_is_foretold(shape, bits):
    assert narrow_bytes(shape, bits) == narrow(gaussian(*shape), bits).data.nbytes


def test_rows_that_are_no_whole_groups_do_not_fit():
    assert fits(gaussian(3, 96)) and not fits(gaussian(3, 80))
