"""Dual Chunk Attention against the reference that turns every pair by itself."""

import pytest
import torch

from longctx.kernels import attention, reference
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.rope import angles, inverse_frequencies, rotate

NUMBERS = [DualChunk(64, 16, 64), DualChunk(40, 8, 30), DualChunk(96, 48, 96), DualChunk(7, 3, 7)]


def random_qkv(num_tokens, num_heads=4, num_groups=2, head_dim=16):
    generator = torch.Generator().manual_seed(num_tokens)
    shapes = ((num_heads,), (num_groups,), (num_groups,))
    return [torch.randn(*shape, num_tokens, head_dim, generator=generator) for shape in shapes]


def by_views(reach, q, keys, values, frequencies, step):
    """The fast path: keys turned once, queries in Steps, each in pieces of one Chunk."""
    num_tokens = q.shape[1]
    every = torch.arange(num_tokens)

    def turned(x, cos, sin):
        return rotate(x.transpose(0, 1), cos, sin).transpose(0, 1).contiguous()

    k = turned(keys, *angles(frequencies, reach.key_positions(every)))
    pieces, start = [], 0
    while start < num_tokens:
        end = min(num_tokens, start + step)
        if reach.stride:
            end = min(end, start + reach.stride - start % reach.stride)
        factor = reach.temperature(every[start:end])[:, None]
        views = []
        for view in reach.views(start, end - start):
            cos, sin = angles(frequencies, view.positions)
            views.append(
                (view.begin, view.end, turned(q[:, start:end], cos * factor, sin * factor))
            )
        pieces.append(attention.attend(views, k, values))
        start = end
    return torch.cat(pieces, 1)


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
@pytest.mark.parametrize("num_tokens", [1, 47, 48, 49, 97, 150, 301])
def test_views_equal_the_reference(numbers, num_tokens):
    q, keys, values = random_qkv(num_tokens)
    frequencies = inverse_frequencies(16, 1e4, {})
    expected = reference.dual_chunk_attention(q, keys, values, frequencies, numbers)
    for step in (1, 37, 1000):
        got = by_views(numbers, q, keys, values, frequencies, step)
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)


def test_up_to_one_chunk_it_is_plain_attention():
    numbers = DualChunk(64, 16, 64)
    frequencies = inverse_frequencies(16, 1e4, {})
    q, keys, values = random_qkv(numbers.stride)
    plain = by_views(Plain(), q, keys, values, frequencies, 1000)
    got = reference.dual_chunk_attention(q, keys, values, frequencies, numbers)
    torch.testing.assert_close(got, plain, atol=2e-5, rtol=2e-5)


def test_past_one_chunk_it_is_not():
    numbers = DualChunk(64, 16, 1000)
    frequencies = inverse_frequencies(16, 1e4, {})
    q, keys, values = random_qkv(200)
    plain = by_views(Plain(), q, keys, values, frequencies, 1000)
    got = reference.dual_chunk_attention(q, keys, values, frequencies, numbers)
    assert (got - plain).norm() > 0.05 * plain.norm()


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_no_distance_is_longer_than_the_chunk_size_and_near_ones_are_true(numbers):
    num_tokens = 4 * numbers.chunk_size
    keys = numbers.key_positions(torch.arange(num_tokens))
    for position in range(num_tokens):
        covered = 0
        for view in numbers.views(position, 1):
            assert view.begin == covered
            covered = view.end
            distances = view.positions - keys[view.begin : view.end]
            assert 0 <= distances.min() and distances.max() <= numbers.chunk_size
            true = position - torch.arange(view.begin, view.end)
            near = true <= numbers.local_size
            assert torch.equal(distances[near], true[near])
        assert covered == position + 1


def test_the_numbers_of_the_published_1m_models():
    numbers = DualChunk(262_144, 8_192, 262_144)
    assert numbers.stride == 253_952
    million = torch.tensor([0, 262_143, 399_999, 999_999])
    # research figures: 1.086 at 400K and 1.286 at 1M
    expected = torch.tensor([1.0, 1.0, 1.0863, 1.2858])
    torch.testing.assert_close(numbers.temperature(million), expected, atol=2e-4, rtol=0)
    assert [(view.begin, view.end) for view in numbers.views(999_999, 1)] == [
        (0, 507_904),
        (507_904, 761_856),
        (761_856, 1_000_000),
    ]
