"""Products in bytes against the same products in float32."""

import pytest
import torch
from torch.nn.functional import linear

from longctx.kernels.int8_linear import (
    can_multiply_int8,
    int8_codes,
    int8_matrix,
    int8_project,
    row_codes,
)

pytestmark = pytest.mark.skipif(not can_multiply_int8(), reason="needs oneDNN's byte products")


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_tokens", [1, 2, 77, 513])
@pytest.mark.parametrize(("num_rows", "width"), [(1, 8), (33, 100), (256, 896)])
def test_products_are_those_of_the_codes(num_tokens, num_rows, width):
    weight, x = gaussian(num_rows, width), gaussian(num_tokens, width, seed=1)
    codes, scales = int8_codes(weight)
    rows, row_scales = row_codes(x)
    exact = linear(rows.double() - 128, codes.double()) * row_scales * scales
    got = int8_project(x, int8_matrix(weight))
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-4)


def test_no_sum_is_cut_off_at_the_largest_codes():
    # all products of a pair are as large as they get: 16 bits overflow with codes of 8 bits
    weight, x = torch.ones(4, 640), torch.ones(3, 640)
    torch.testing.assert_close(int8_project(x, int8_matrix(weight)), linear(x, weight))
    torch.testing.assert_close(int8_project(-x, int8_matrix(weight)), linear(-x, weight))


def test_rows_of_different_sizes_do_not_disturb_each_other():
    weight, x = gaussian(64, 256), gaussian(5, 256, seed=1)
    x[2] *= 1e4
    x[3] *= 1e-6
    error = (int8_project(x, int8_matrix(weight)) - linear(x, weight)).norm(dim=1)
    assert (error / linear(x, weight).norm(dim=1) < 0.02).all()


def test_zeros_and_bias():
    weight, bias = gaussian(6, 32), gaussian(6, seed=2)
    out = int8_project(torch.zeros(2, 32), int8_matrix(weight), bias)
    torch.testing.assert_close(out, bias.expand(2, 6))
    assert int8_project(torch.zeros(1, 32).bfloat16(), int8_matrix(weight)).dtype == torch.bfloat16
