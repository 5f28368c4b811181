"""Products in 8 bits: the rounding against torch's own, the product against exact arithmetic."""

import pytest
import torch

from longctx.kernels.triton_fp8 import FLOAT8, MOST, project8, quantize, reference_project8


@pytest.mark.parametrize(("num_rows", "size"), [(1, 16), (3, 896), (2, 1552)])
def test_rows_are_rounded_as_torch_rounds_them(num_rows, size):
    rows = torch.randn(num_rows, size + 4)[:, :size] * torch.logspace(-3, 3, num_rows)[:, None]
    got = quantize(rows)
    scales = rows.abs().amax(-1) / MOST
    torch.testing.assert_close(got.scales, scales)
    expected = (rows / scales[:, None]).clamp(-MOST, MOST).to(FLOAT8)
    assert torch.equal(got.codes.float(), expected.float())
    # the largest of each row is hit, the others are near: 3 bits of mantissa
    assert (got.float() - rows).abs().max() <= rows.abs().max() / 16
    near = (got.float() - rows).norm(dim=-1) / rows.norm(dim=-1)
    assert (near < 0.03).all()


def test_a_row_of_zeros_stays_zero():
    rows = quantize(torch.zeros(2, 32))
    assert (rows.float() == 0).all() and (rows.scales == 1).all()


@pytest.mark.parametrize("num_tokens", [1, 5])
def test_a_product_in_8_bits_is_near_the_exact_one(num_tokens):
    x, weight, bias = torch.randn(num_tokens, 512), torch.randn(48, 512), torch.randn(48)
    x[:, 7] *= 30
    got = project8(x, quantize(weight), bias)
    exact = torch.nn.functional.linear(x, weight, bias)
    assert (got - exact).norm() < 0.05 * exact.norm()
    torch.testing.assert_close(got, reference_project8(quantize(x), quantize(weight), bias))
