"""How far what a GPU computes lies from what it should."""

import torch

# The interpreter multiplies bfloat16 wrongly.
DTYPE = torch.bfloat16 if torch.cuda.is_available() else torch.float32


def distance(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def worst_of(found: list[float]) -> float:
    """Returns the greatest distance, NaN where there is any, which `max` may pass over."""
    return float(torch.tensor(found, dtype=torch.float64, device="cpu").max())
