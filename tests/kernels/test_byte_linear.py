"""Products of bytes, where the processor has them, against what their codes stand for."""

import pytest
import torch
from torch.nn.functional import rms_norm, silu

from longctx.kernels.byte_linear import (
    GROUP,
    OUTPUTS,
    byte_weights,
    code_gated_rows,
    code_rows,
    coded_rows,
    fits_bytes,
    has_byte_products,
    multiply,
)

pytestmark = pytest.mark.skipif(not has_byte_products(), reason="no products of bytes here")
SHAPES = [(1, GROUP, OUTPUTS), (7, 896, 1152), (13, 448, 64), (512, 192, 320)]


@pytest.mark.parametrize("bits", [4, 5, 6, 8])
@pytest.mark.parametrize(("T", "K", "N"), SHAPES)
def test_products_are_those_of_what_the_codes_stand_for(T, K, N, bits, factors, stacked, error):
    x, weight, bias = factors(T, K, N)
    # a group of nothing, and one beside it of little
    weight[0, :GROUP] = 0
    weight[1, : GROUP // 2] *= 1e-3
    matrix, rows = stacked([weight], [bias], bits), code_rows(x)
    expected = coded_rows(rows) @ byte_weights(matrix.parts[0]).T + bias
    assert error(multiply(rows, matrix), expected) < 2**-8
    onto = torch.randn(T, N)
    wanted = onto + expected
    assert multiply(rows, matrix, onto) is onto
    # half of the greatest weight lies between two codes and may be either
    assert error(onto, wanted) < 2e-3


@pytest.mark.parametrize(("T", "K", "N"), SHAPES)
def test_codes_are_near_what_they_stand_for(T, K, N, factors, stacked, error):
    x, weight, _ = factors(T, K, N)
    x[0, 0] = 1000.0
    matrix, rows = stacked([weight], [None]), code_rows(x)
    # an outlier costs its own group alone
    assert error(coded_rows(rows)[:, GROUP:], x[:, GROUP:]) < 0.01 or K == GROUP
    assert error(byte_weights(matrix.parts[0]), weight.float()) < 0.012
    sums = rows.codes.view(T, -1, GROUP).int().sum(-1)
    assert torch.equal(rows.sums, -128 * sums)
    assert rows.codes.abs().max() == 127


def test_rows_are_normed_and_gated_on_the_way(error):
    x, norm = torch.randn(9, 128) * 30, torch.rand(128) + 0.5
    got = coded_rows(code_rows(x, norm, 1e-6))
    assert error(got, rms_norm(x, (128,), norm, 1e-6)) < 0.01
    both = (torch.randn(9, 256) * 4).bfloat16()
    expected = silu(both[:, :128].float()) * both[:, 128:].float()
    assert error(coded_rows(code_gated_rows(both)), expected) < 0.015
    steep = torch.full((1, 256), -200.0, dtype=torch.bfloat16)
    assert coded_rows(code_gated_rows(steep)).abs().max() < 1e-30


def test_rows_of_nothing_are_nothing(factors, stacked):
    x, weight, bias = factors(3, 128, 32)
    product = multiply(code_rows(x * 0), stacked([weight], [bias]))
    assert torch.equal(product, bias.bfloat16().expand(3, -1))


def test_matrices_lie_one_below_the_other(factors, stacked):
    x, one, bias = factors(5, 128, 64)
    other = factors(6, 128, 32)[1]
    rows = code_rows(x)
    both = multiply(rows, stacked([one, other], [bias, None]))
    apart = [multiply(rows, stacked([w], [b])) for w, b in ((one, bias), (other, None))]
    assert torch.equal(both, torch.cat(apart, 1))


def test_a_row_is_the_same_bits_whatever_rows_are_beside_it(factors, stacked):
    x, weight, _ = factors(17, 320, 64)
    matrix = stacked([weight], [None])
    whole = multiply(code_rows(x), matrix)
    for start, end in ((0, 1), (1, 3), (3, 17)):
        assert torch.equal(multiply(code_rows(x[start:end]), matrix), whole[start:end])


def test_odd_sizes_do_not_fit():
    assert fits_bytes(torch.empty(32, 64))
    assert not fits_bytes(torch.empty(48, 64)) and not fits_bytes(torch.empty(32, 96))
