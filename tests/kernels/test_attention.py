import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.attention import part

SHAPES = [
    pytest.param(H, G, T, S, D, id=f"H{H}-G{G}-T{T}-S{S}-D{D}")
    for H, G, T, S, D in [
        (1, 1, 1, 1, 8),
        (2, 2, 7, 7, 16),
        (14, 2, 63, 63, 64),
        (14, 2, 1, 500, 64),
        (12, 2, 129, 1153, 128),
        (4, 1, 130, 1000, 32),
        (6, 3, 300, 2077, 64),
    ]
]


def random_qkv(H, G, T, S, D, *, shared_key=0.0):
    generator = torch.Generator().manual_seed(T * 1000 + S)
    q = torch.randn(H, T, D, generator=generator)
    keys = torch.randn(G, S, D, generator=generator)
    keys += shared_key * torch.randn(G, 1, D, generator=generator)
    return q, keys, torch.randn(G, S, D, generator=generator)


def relative_error(got, expected):
    return ((got.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(("H", "G", "T", "S", "D"), SHAPES)
def test_float32_equals_the_reference(H, G, T, S, D):
    q, keys, values = random_qkv(H, G, T, S, D)
    error = relative_error(part(q, keys, values)[0], reference.attention(q, keys, values))
    assert error < 2e-6, error


@pytest.mark.parametrize(("H", "G", "T", "S", "D"), SHAPES)
def test_bfloat16_holds_where_keys_share_a_large_constant(H, G, T, S, D):
    q, keys, values = (t.bfloat16() for t in random_qkv(H, G, T, S, D, shared_key=200.0))
    expected = reference.attention(q, keys, values)
    # the weights alone are rounded to 8 bits, the scores are not
    error = relative_error(part(q, keys, values)[0], expected)
    assert error < 2**-8, error


def test_uncentred_bfloat16_scores_would_not_hold():
    q, keys, values = (t.bfloat16() for t in random_qkv(4, 1, 1, 1000, 32, shared_key=200.0))
    expected = reference.attention(q, keys, values)
    scores = (q @ keys[0].T) * 32**-0.5
    error = relative_error(scores.softmax(-1) @ values[0], expected)
    assert error > 10 * 2**-8, error


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-3)])
def test_queries_in_pieces_see_what_they_see_together(dtype, most):
    q, keys, values = (t.to(dtype) for t in random_qkv(6, 2, 333, 1400, 64))
    whole = part(q, keys, values)[0].float()
    pieces, start = [], 1400 - 333
    for first, last in ((0, 1), (1, 58), (58, 300), (300, 333)):
        seen = start + last
        pieces.append(part(q[:, first:last], keys[:, :seen], values[:, :seen])[0])
    assert relative_error(torch.cat(pieces, 1), whole) < most


def test_a_window_of_a_larger_cache_is_read_in_place():
    q, keys, values = random_qkv(4, 2, 33, 700, 32)
    room = [torch.full((2, 1024, 32), float("nan")) for _ in range(2)]
    for large, small in zip(room, (keys, values), strict=True):
        large[:, :700] = small
    got = part(q, room[0][:, :700], room[1][:, :700])
    torch.testing.assert_close(got, part(q, keys, values))
