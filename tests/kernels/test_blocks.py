"""Attention over chosen Blocks against the reference that masks the keys one by one."""

import math

import pytest
import torch

from longctx.kernels import reference, reference_modes
from longctx.kernels.blocks import BlockRule, Chosen, block_means, choose_blocks, predicted_mass
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.quotas import NO_MASS, Quota, Quotas
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.sparse import attend_chosen


def random_qkv(H, G, T, S, D):
    generator = torch.Generator().manual_seed(T * 1000 + S)
    shapes = (H, T, D), (G, S, D), (G, S, D)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def seen_by_token(chosen, num_queries):
    """bool [G, T, S] of what a tile sees that lies after the Blocks."""
    past = chosen.repeat_interleave(BLOCK, 1)
    own = torch.ones(len(chosen), num_queries, dtype=torch.bool)
    return torch.cat((past, own), 1)[:, None].expand(-1, num_queries, -1)


@pytest.mark.parametrize(
    ("H", "G", "T", "N", "D"),
    [(14, 2, TILE, 16, 64), (12, 2, 77, 9, 32), (4, 4, 1, 3, 16), (6, 1, TILE, 40, 128)],
)
def test_chosen_blocks_equal_the_reference(H, G, T, N, D):
    q, keys, values = random_qkv(H, G, T, N * BLOCK + T, D)
    chosen = torch.rand(G, N, generator=torch.Generator().manual_seed(N)) < 0.4
    chosen[0] &= torch.arange(N) > 1
    chosen[-1] = False
    got = attend_chosen([(0, keys.shape[1], q)], keys, values, Chosen(chosen))[0]
    expected = reference.chosen_attention(q, keys, values, seen_by_token(chosen, T))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_all_blocks_are_dense_attention():
    q, keys, values = random_qkv(6, 2, TILE, 12 * BLOCK + TILE, 64)
    every = torch.ones(2, 12, dtype=torch.bool)
    got = attend_chosen([(0, keys.shape[1], q)], keys, values, Chosen(every))[0]
    torch.testing.assert_close(got, reference.attention(q, keys, values), atol=1e-5, rtol=1e-5)


def test_all_blocks_through_the_views_of_chunks_are_dual_chunk_attention():
    numbers = DualChunk(512, 256, 512)
    frequencies = inverse_frequencies(32, 1e4, {})
    start, num_tokens = 5 * TILE, 6 * TILE
    q, keys, values = random_qkv(4, 2, TILE, num_tokens, 32)

    def turned(x, positions, factor=1.0):
        cos, sin = angles(frequencies, positions)
        return rotate(x.transpose(0, 1), cos * factor, sin * factor).transpose(0, 1).contiguous()

    factor = numbers.temperature(torch.arange(start, num_tokens))[:, None]
    views = [
        (view.begin, view.end, turned(q, view.positions, factor))
        for view in numbers.views(start, TILE)
    ]
    assert len(views) == 3
    cached = turned(keys, numbers.key_positions(torch.arange(num_tokens)))
    every = torch.ones(2, start // BLOCK, dtype=torch.bool)
    got = attend_chosen(views, cached, values, Chosen(every))[0]
    expected = reference.dual_chunk_attention(q, keys, values, frequencies, numbers)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)
    mass = predicted_mass(views, block_means(cached)[:, : start // BLOCK])
    assert mass.shape == (2, start // BLOCK)


def test_means_are_those_of_whole_blocks():
    keys = torch.randn(2, 3 * BLOCK + 5, 16)
    means = block_means(keys)
    assert means.shape == (2, 3, 16)
    torch.testing.assert_close(means[1, 2], keys[1, 2 * BLOCK : 3 * BLOCK].mean(0))
    assert block_means(keys[:, :5]).shape == (2, 0, 16)


def test_a_block_that_answers_the_queries_is_predicted():
    q, keys, values = random_qkv(4, 2, TILE, 32 * BLOCK + TILE, 32)
    wanted = torch.randn(2, 32)
    q += wanted.repeat_interleave(2, 0)[:, None]
    keys[:, 11 * BLOCK : 12 * BLOCK] += wanted[:, None]
    mass = predicted_mass([(0, keys.shape[1], q)], block_means(keys)[:, :32])
    torch.testing.assert_close(mass.sum(-1), torch.ones(2))
    assert mass.argmax(-1).tolist() == [11, 11]
    chosen = choose_blocks(mass, BlockRule(max_keys=5 * BLOCK, sinks=1, window=2))
    assert chosen[:, 11].all() and chosen[:, 0].all() and chosen[:, -2:].all()


@pytest.mark.parametrize(
    ("H", "G", "T", "D", "borders", "num_blocks"),
    [
        (14, 2, TILE, 64, [], 1),
        (14, 2, 1, 64, [15], 16),
        (12, 2, 1, 128, [3, 20, 36], 53),
        (7, 1, 77, 32, [16], 300),
        (8, 8, 1, 48, [], 33),
        (4, 2, 5, 24, [16, 19], 35),
    ],
)
def test_the_predicted_mass_is_that_of_the_reference(H, G, T, D, borders, num_blocks):
    generator = torch.Generator().manual_seed(num_blocks)
    end = num_blocks * BLOCK + T
    ends = [*(border * BLOCK for border in borders), end]
    views = [
        (begin, last, 3 * torch.randn(H, T, D, generator=generator))
        for begin, last in zip([0, *ends], ends, strict=False)
    ]
    # what there is room for is more than what there is
    means = torch.randn(G, num_blocks + 9, D, generator=generator)[:, :num_blocks]
    for scale in (1.0, 40.0):
        got = predicted_mass(views, scale * means)
        expected = reference_modes.predicted_mass(views, scale * means)
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)
    got = predicted_mass(views, means)
    assert torch.equal(got, predicted_mass(views, means.clone()))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(got, predicted_mass(views, means))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("num_blocks", [1, 2, 5, 64, 301])
@pytest.mark.parametrize(
    "rule",
    [BlockRule(), BlockRule(640, 0.9, 1, 2), BlockRule(64, 0.5, 0, 0), BlockRule(10**9, 1.0)],
)
def test_a_choice_keeps_to_its_rule(num_blocks, rule):
    generator = torch.Generator().manual_seed(num_blocks)
    mass = (4 * torch.randn(3, num_blocks, generator=generator)).softmax(-1)
    chosen = choose_blocks(mass, rule)
    forced = torch.zeros(num_blocks, dtype=torch.bool)
    forced[: rule.sinks] = True
    forced[max(0, num_blocks - rule.window) :] = True
    assert chosen[:, forced].all()
    most = max(rule.max_keys // BLOCK, int(forced.sum()))
    assert (chosen.sum(-1) <= most).all()
    for row, picked in zip(mass, chosen, strict=True):
        free = picked & ~forced
        if free.any() and not (picked | forced).all():
            # nothing left out has more than what was taken for its mass
            assert row[~picked].max() <= row[free].min()
        if picked.sum() < min(most, num_blocks):
            assert row[picked].sum() >= rule.mass - 1e-5
            if free.any():
                least = row[free].min()
                assert row[picked].sum() - least <= rule.mass + 1e-5


def test_the_whole_mass_is_everything():
    mass = torch.full((1, 50), 0.02)
    assert choose_blocks(mass, BlockRule(max_keys=10**9, mass=1.0, sinks=1, window=1)).all()
    assert not math.isnan(float(mass.sum()))


def chosen_by_sorting(mass, rule, quotas):
    """The same choice with all Blocks in order, the first of equal ones first."""
    seen = torch.zeros(mass.shape, dtype=torch.bool)
    num_blocks = mass.shape[1]
    for row, (masses, quota) in enumerate(zip(mass.tolist(), quotas, strict=True)):
        chosen = [n for n in range(num_blocks) if n < rule.sinks or n >= num_blocks - rule.window]
        left = 1 - sum(masses[n] for n in chosen)
        for block in sorted(set(range(num_blocks)) - set(chosen), key=lambda n: (-masses[n], n)):
            if len(chosen) >= max(1, quota.max_keys // BLOCK) or left <= 1 - quota.mass:
                break
            chosen.append(block)
            left -= masses[block]
        seen[row, chosen] = True
    return seen


@pytest.mark.parametrize("num_blocks", [1, 3, 10, 11, 130, 1_000])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    "rule",
    [BlockRule(), BlockRule(640, 0.9, 1, 2), BlockRule(64, 0.5, 0, 0), BlockRule(6_400, NO_MASS)],
)
def test_a_choice_without_a_sort_is_that_of_a_sort(num_blocks, ties, rule):
    generator = torch.Generator().manual_seed(num_blocks)
    mass = (3 * torch.randn(3, num_blocks, generator=generator)).softmax(-1)
    if ties:
        # powers of two, so that no order of adding matters; many of them, and zeros
        mass = torch.zeros(3, num_blocks)
        for row, step in enumerate((1, 2, 3)):
            mass[row, ::step] = 2.0**-12
    quotas = [Quota(rule.max_keys, rule.mass), Quota(1_280, 0.7), Quota(1_920, NO_MASS)]
    got = choose_blocks(mass, rule, quotas)
    assert torch.equal(got, chosen_by_sorting(mass, rule, quotas))
    # whatever other rows there are, and with however many threads
    threads = torch.get_num_threads()
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            for row, quota in enumerate(quotas):
                alone = choose_blocks(mass[row : row + 1], rule, [quota])
                assert torch.equal(alone, got[row : row + 1])
    finally:
        torch.set_num_threads(threads)
    plain = choose_blocks(mass, rule)
    assert torch.equal(plain, chosen_by_sorting(mass, rule, [quotas[0]] * 3))


def test_stand_ins_are_the_next_best():
    mass = torch.tensor([[0.1, 0.3, 0.1, 0.1, 0.2, 0.1, 0.1], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    for count in (1, 3, 99):
        rule = BlockRule(max_keys=2 * BLOCK, sinks=1, window=0, stand_ins=count)
        blocks = choose_blocks(mass, rule)
        stood = rule._with_stand_ins(mass, blocks).stand_ins
        assert blocks[0].nonzero()[:, 0].tolist() == [0, 1]
        assert blocks[1].nonzero()[:, 0].tolist() == [0, 3]
        assert stood.sum(-1).tolist() == [min(count, 5)] * 2
        assert not (stood & blocks).any()
    rule = BlockRule(max_keys=2 * BLOCK, sinks=1, window=0, stand_ins=2)
    stood = rule._with_stand_ins(mass, choose_blocks(mass, rule)).stand_ins
    assert stood[0].nonzero()[:, 0].tolist() == [2, 4]
    assert stood[1].nonzero()[:, 0].tolist() == [1, 2]


def test_each_head_of_each_layer_has_its_quota():
    q, keys, _ = random_qkv(4, 2, TILE, 40 * BLOCK + TILE, 16)
    views, means = [(0, keys.shape[1], q)], block_means(keys)
    layers = ((Quota(640, NO_MASS), Quota(1_280, NO_MASS)), (Quota(64, 0.5), Quota(640, 0.0)))
    rule = BlockRule(sinks=1, window=2, quotas=Quotas(layers))
    assert rule.choose(0, views, keys, means)[0].blocks.sum(-1).tolist() == [10, 20]
    assert rule.choose(1, views, keys, means)[0].blocks.sum(-1).tolist() == [3, 3]
    faithful = BlockRule(sinks=1, window=2, quotas=Quotas(layers), fidelity=1.0)
    q, keys, _ = random_qkv(4, 2, 4 * TILE, 40 * BLOCK + 4 * TILE, 16)
    views, means = [(0, keys.shape[1], q)], block_means(keys)
    for chosen in faithful.choose(1, views, keys, means):
        assert chosen.blocks.sum() > 2 * 38


def test_quotas_are_named_by_what_they_hold():
    some = Quotas(((Quota(640, 0.9),),))
    assert repr(some) == repr(Quotas(((Quota(640, 0.9),),))) == f"Quotas({some.digest})"
    others = [((Quota(704, 0.9),),), ((Quota(640, 0.8),),), ((Quota(640, 0.9),),) * 2]
    assert len({repr(some), *(repr(Quotas(layers)) for layers in others)}) == 4
    assert some.digest in repr(BlockRule(quotas=some))
    assert hash(BlockRule(quotas=some)) == hash(BlockRule(quotas=Quotas(some.layers)))
