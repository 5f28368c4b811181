"""Attention range by range, merged, against the reference that sees every pair."""

import pytest
import torch

from longctx.kernels import library_attention, reference
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.library_attention import attend_densely, has_library
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.turns import make_turns

NUMBERS = DualChunk(chunk_size=448, local_size=64, trained=300)


@pytest.mark.parametrize(
    ("start", "num_queries", "H", "G", "D"),
    [
        (0, 300, 4, 2, 64),  # the first Chunk
        (384, 5, 7, 1, 128),  # where the second begins: intra and succ
        (900, 130, 14, 2, 64),  # all three ranges
        (1300, 1, 3, 1, 128),
    ],
)
@pytest.mark.parametrize("stretched", [True, False])
def test_ranges_and_runs_merge_into_the_reference(
    monkeypatch, start, num_queries, H, G, D, stretched
):
    monkeypatch.setattr(library_attention, "ROWS_AT_ONCE", 48)
    monkeypatch.setattr(library_attention, "KEYS_AT_ONCE", 200)
    num_keys, frequencies = start + num_queries, inverse_frequencies(D, 1e4, {})
    q = torch.randn(H, num_queries, D)
    keys, values = torch.randn(2, G, num_keys, D)
    reach = NUMBERS if stretched else Plain()
    turn = angles(frequencies, reach.key_positions(torch.arange(num_keys)))
    turned = rotate(keys.transpose(0, 1), *turn).transpose(0, 1)
    if stretched:
        expected = reference.dual_chunk_attention(q, keys, values, frequencies, NUMBERS)
    else:
        own = [x[start:] for x in turn]
        rows = rotate(q.transpose(0, 1), *own).transpose(0, 1)
        expected = reference.attention(rows, turned, values)
    # rows apart from each other, and room behind the keys that nobody wrote
    apart = torch.full((num_queries, H + 1, D), float("nan"))
    apart[:, :H] = q.transpose(0, 1)
    cache = [torch.nn.functional.pad(x, (0, 0, 0, 3), value=float("nan")) for x in (turned, values)]
    got = attend_densely(apart[:, :H], *cache, make_turns(reach, frequencies, start, num_queries))
    torch.testing.assert_close(got.transpose(0, 1), expected, atol=2e-5, rtol=2e-5)


def test_without_a_gpu_there_is_no_library():
    assert not has_library(torch.zeros(8, 4, 64), torch.zeros(2, 8, 64))
