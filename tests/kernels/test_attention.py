import pytest
import torch

from longctx.kernels import attention, reference

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


@pytest.mark.parametrize("form", [attention.flash, attention.tiled])
@pytest.mark.parametrize(("H", "G", "T", "S", "D"), SHAPES)
def test_float32_equals_the_reference(form, H, G, T, S, D):
    q, keys, values = random_qkv(H, G, T, S, D)
    error = relative_error(form(q, keys, values)[0], reference.attention(q, keys, values))
    assert error < 2e-6, error


@pytest.mark.parametrize(("H", "G", "T", "S", "D"), SHAPES)
def test_bfloat16_tiles_hold_where_keys_share_a_large_constant(H, G, T, S, D):
    q, keys, values = (t.bfloat16() for t in random_qkv(H, G, T, S, D, shared_key=200.0))
    expected = reference.attention(q, keys, values)
    # keys, scores and weights are each rounded to 8 bits, where flash rounds the weights alone
    error = relative_error(attention.tiled(q, keys, values)[0], expected)
    assert error < 3 * 2**-8, error


def test_uncentred_bfloat16_scores_would_not_hold():
    q, keys, values = (t.bfloat16() for t in random_qkv(4, 1, 1, 1000, 32, shared_key=200.0))
    expected = reference.attention(q, keys, values)
    scores = (q @ keys[0].T) * 32**-0.5
    error = relative_error(scores.softmax(-1) @ values[0], expected)
    assert error > 10 * 2**-8, error


@pytest.mark.parametrize("form", [attention.flash, attention.tiled])
def test_queries_in_pieces_see_what_they_see_together(form):
    q, keys, values = random_qkv(6, 2, 333, 1400, 64)
    whole, _ = form(q, keys, values)
    pieces, start = [], 1400 - 333
    for first, last in ((0, 1), (1, 58), (58, 300), (300, 333)):
        seen = start + last
        pieces.append(form(q[:, first:last], keys[:, :seen], values[:, :seen])[0])
    assert relative_error(torch.cat(pieces, 1), whole) < 2e-6


def test_a_window_of_a_larger_cache_is_read_in_place():
    q, keys, values = random_qkv(4, 2, 33, 700, 32)
    room = [torch.full((2, 1024, 32), float("nan")) for _ in range(2)]
    for large, small in zip(room, (keys, values), strict=True):
        large[:, :700] = small
    got = attention.flash(q, room[0][:, :700], room[1][:, :700])
    torch.testing.assert_close(got, attention.flash(q, keys, values))
