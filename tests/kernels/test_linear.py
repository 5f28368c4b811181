import pytest
import torch

from longctx.kernels.linear import FEW_ROWS, Upcast, project


@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS, FEW_ROWS + 1, 63])
@pytest.mark.parametrize("with_bias", [True, False])
def test_weights_in_another_precision(rows, with_bias):
    x, weight = torch.randn(rows, 70), torch.randn(33, 70).bfloat16()
    bias = torch.randn(33) if with_bias else None
    expected = torch.nn.functional.linear(x, weight.float(), bias)
    got = project(x, weight, bias)
    assert got.dtype == torch.float32
    # few rows are rounded to the precision of the weights, more are not
    tolerance = 2**-7 if rows <= FEW_ROWS else 1e-6
    assert (got - expected).norm() / expected.norm() < tolerance


def test_upcast_uses_its_memory_again():
    upcast = Upcast(torch.float32)
    first, second = torch.randn(2, 5, 7).bfloat16()
    one = upcast("up", first)
    torch.testing.assert_close(one, first.float())
    address = one.data_ptr()
    two = upcast("up", second)
    assert two.data_ptr() == address
    torch.testing.assert_close(two, second.float())


def test_upcast_leaves_what_has_the_dtype():
    weight = torch.randn(3, 3)
    assert Upcast(torch.float32)("up", weight) is weight
