"""What tests of several kernels need: the same numbers on every run, and shapes no loop likes."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """A suite that passed passes again."""
    torch.manual_seed(0)


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
