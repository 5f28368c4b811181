"""What tests of several kernels need: the same numbers on every run, and shapes no loop likes."""

import pytest
import torch

from longctx.kernels.narrow import narrow, stack


@pytest.fixture(autouse=True)
def seeded():
    """A suite that passed passes again."""
    torch.manual_seed(0)


@pytest.fixture
def error():
    """How far a result is off, as a share of what was expected."""
    return lambda got, expected: ((got.float() - expected).norm() / expected.norm()).item()


@pytest.fixture
def factors():
    """Rows [T, K], a weight [N, K] and a bias [N], by T, K and N."""

    def make(T, K, N):
        generator = torch.Generator().manual_seed(T * 1000 + K)
        x, bias = torch.randn(T, K, generator=generator), torch.randn(N, generator=generator)
        return x, (torch.randn(N, K, generator=generator) * 0.02).bfloat16(), bias

    return make


@pytest.fixture
def stacked():
    """Weights as one Stack, by their biases."""
    return lambda weights, biases, bits=8: stack([narrow(w, bits) for w in weights], biases)


@pytest.fixture(
    params=[
        (1, 1, 1, 1, 64),
        (14, 2, 63, 63, 64),
        (14, 2, 1, 5000, 64),
        (14, 2, 4, 3001, 64),
        (12, 2, 129, 1153, 128),
        (6, 3, 300, 2077, 64),
        (8, 8, 31, 64, 192),
    ],
    ids=lambda shape: "-".join(f"{axis}{size}" for axis, size in zip("HGTSD", shape, strict=True)),
)
def ugly_shape(request):
    """Heads, KV heads, queries, keys and numbers of a head."""
    return request.param
