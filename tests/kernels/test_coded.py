"""Attention on a CPU to keys and values in 8 bits, a bias like that of Qwen2.5 beside them."""

import pytest
import torch

from longctx.kernels import reference
from longctx.kernels.attention import attend
from longctx.kernels.blocks import BlockRule, block_means, tri_shape
from longctx.kernels.coded import Coded
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import coded, make_eight, restored, store
from longctx.kernels.flash import BLOCK, TILE, attend_all, has_flash
from longctx.kernels.recall import checked_row, recall
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.sparse import attend_one, attend_tiles
from longctx.kernels.vertical_slash import VerticalSlashRule

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")

CHUNKS = DualChunk(chunk_size=448, local_size=64, trained=300)


def written(G, S, D, *, bias, room=13, reach=None, seed=0):
    """Keys without bias [S, G, D] and values, and a cache of both with room for more."""
    generator = torch.Generator().manual_seed(seed)
    k, v = torch.randn(2, S, G, D, generator=generator)
    frequencies, reach = inverse_frequencies(D, 1e4, {}), reach or Plain()
    eight = make_eight(bias, S + room, frequencies, reach)
    keys, values = torch.full((2, G, S + room, D), 99, dtype=torch.int8)
    turn = angles(frequencies, reach.key_positions(torch.arange(S)))
    turned = rotate(k, *turn)
    for begin, end in ((0, S // 3), (S // 3, S)):
        store(turned[begin:end], v[begin:end], keys, values, begin, eight)
    return k, v, keys[:, :S], values[:, :S], eight, frequencies


def queries(H, T, D, seed=1):
    return torch.randn(H, T, D, generator=torch.Generator().manual_seed(seed)).bfloat16()


def error(got, expected):
    return ((got.float() - expected).norm() / expected.norm()).item()


def as_read(keys, values, eight):
    """The rows in bfloat16, which is what they are multiplied in."""
    return [t.bfloat16() for t in restored(keys, values, eight)]


def test_what_is_written_is_within_half_a_step_however_large_the_bias():
    G, S, D, size = 2, 200, 64, 600.0
    bias = size * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    k, v, keys, values, eight, frequencies = written(G, S, D, bias=bias)
    whole, whole_values = restored(keys, values, eight)
    exact = rotate((k + bias).double(), *angles(frequencies, torch.arange(S))).transpose(0, 1)
    # an angle of float32 is off by 2^-24 of itself, that of the place, the Block and the position
    off_by_angles = 3 * S * 2**-24 * bias.view(G, 2, -1).norm(dim=1).max()
    half_steps = 0.5001 * eight.key_scales[:, :S, None]
    assert ((whole - exact).abs() <= half_steps + off_by_angles).all()
    half_steps = 0.5001 * eight.value_scales[:, :S, None]
    assert ((whole_values - v.transpose(0, 1)).abs() <= half_steps).all()


def test_rows_of_nothing_are_nothing():
    eight = make_eight(torch.zeros(1, 64), 64, inverse_frequencies(64, 1e4, {}), Plain())
    keys, values = torch.full((2, 1, 64, 64), 99, dtype=torch.int8)
    store(torch.zeros(3, 1, 64), torch.zeros(3, 1, 64), keys, values, 0, eight)
    whole, whole_values = restored(keys[:, :3], values[:, :3], eight)
    assert not whole.any() and not whole_values.any()


def test_all_keys_equal_the_reference(ugly_shape):
    H, G, T, S, D = ugly_shape
    bias = 5 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(G, S, D, bias=bias)
    q = queries(H, T, D)
    out, lse = attend_all([(0, S, q)], *coded(keys, values, eight))
    whole = as_read(keys, values, eight)
    assert error(out, reference.attention(q, *whole)) < 2**-8.5
    # and the very numbers that a cache in bfloat16 would give
    same, same_lse = attend_all([(0, S, q)], *whole)
    torch.testing.assert_close(out, same, atol=2e-2, rtol=1e-3)
    torch.testing.assert_close(lse, same_lse, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("T", [1, 30, 200])
@pytest.mark.parametrize("S", [384, 600, 900, 1500])
def test_every_range_of_dual_chunk_attention(S, T):
    H, G, D = 4, 2, 64
    bias = 3 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    k, _, keys, values, eight, frequencies = written(G, S, D, bias=bias, reach=CHUNKS)
    start = max(S - T, (S - 1) // CHUNKS.stride * CHUNKS.stride)
    q = torch.randn(H, S - start, D, generator=torch.Generator().manual_seed(1))
    factors = CHUNKS.temperature(torch.arange(start, S))[:, None]
    views = []
    for view in CHUNKS.views(start, S - start):
        cos, sin = (t * factors for t in angles(frequencies, view.positions))
        turned = rotate(q.transpose(0, 1), cos, sin).transpose(0, 1).contiguous()
        views.append((view.begin, view.end, turned.bfloat16()))
    got = attend(views, *coded(keys, values, eight))
    # unturned again, the reference turns every pair by itself
    whole, whole_values = restored(keys, values, eight)
    cos, sin = angles(frequencies, CHUNKS.key_positions(torch.arange(S)))
    unturned = rotate(whole.transpose(0, 1), cos, -sin).transpose(0, 1)
    exact = reference.dual_chunk_attention(q, unturned, whole_values, frequencies, CHUNKS)
    assert error(got, exact) < 0.03
    # what 8 bits cost beside that is small
    plain = reference.dual_chunk_attention(
        q, (k + bias).transpose(0, 1), whole_values, frequencies, CHUNKS
    )
    assert error(got, plain) < 0.04


class Repeated:
    """A Rule that chooses the same again: random keys are all alike, and the last bit decides."""

    def __init__(self, rule):
        self.rule, self.grid, self.dense_until = rule, rule.grid, rule.dense_until
        self.made = {}

    def choose(self, layer, queries, keys, means):
        end = queries[-1][1]
        if end not in self.made:
            self.made[end] = self.rule.choose(layer, queries, keys, means)
            # as of the very numbers that they stand for
            again = self.rule.choose(layer, queries, keys.float(), means)
            for one, other in zip(self.made[end], again, strict=True):
                assert torch.equal(one.keys(), other.keys())
        return self.made[end]


@pytest.mark.parametrize(
    "rule",
    [
        BlockRule(max_keys=512, dense_below=0),
        BlockRule(max_keys=256, dense_below=0, fidelity=0.7),
        BlockRule(max_keys=256, dense_below=0, stand_ins=4),
        tri_shape(window=4, dense_below=0),
        VerticalSlashRule(vertical=100, slash=200, dense_below=0),
    ],
    ids=["blocks", "fidelity", "stand-ins", "tri-shape", "vertical-slash"],
)
def test_sparse_modes_read_what_a_cache_of_bfloat16_would(rule):
    G, T, D = 2, 1024 + 50, 64
    S = 3072 + 50
    bias = 3 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(G, S, D, bias=bias)
    q, whole = queries(14, T, D), as_read(keys, values, eight)
    means, value_means = (block_means(t) for t in whole)
    told, expected_told, rule = [], [], Repeated(rule)

    def tiles(keys, values, told):
        return attend_tiles(
            rule, 0, [(0, S, q)], keys, values, means, lambda *at: told.append(at), value_means
        )

    got = tiles(*coded(keys, values, eight), told)
    expected = tiles(*whole, expected_told)
    assert error(got, expected.float()) < 2**-8
    assert told and [at for at, _ in told] == [at for at, _ in expected_told]
    for (_, one), (_, other) in zip(told, expected_told, strict=True):
        torch.testing.assert_close(one, other, atol=0.01, rtol=0.01)


def test_a_decoded_token_reads_its_blocks():
    G, S, D = 2, 3001, 64
    bias = 3 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(G, S, D, bias=bias)
    q, whole = queries(14, 1, D), as_read(keys, values, eight)
    rule = BlockRule(max_keys=512, dense_below=0)
    got, expected = (
        attend_one(rule, [(0, S, q)], *both, block_means(whole[0]))
        for both in (coded(keys, values, eight), whole)
    )
    assert error(got, expected.float()) < 2**-8


def test_recall_is_that_of_the_restored_keys():
    G, S, D = 2, 5000, 64
    bias = 3 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(G, S, D, bias=bias)
    rows, _ = coded(keys, values, eight)
    seen = torch.rand(G, S - TILE, generator=torch.Generator().manual_seed(3)) < 0.5
    q = queries(4, TILE, D)
    got, expected = (
        recall([(0, S, q)], one, 77, seen) for one in (rows, restored(keys, values, eight)[0])
    )
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("borders", [[], [2_688, 3_136]], ids=["plain", "chunks"])
@pytest.mark.parametrize("in_8_bits", [False, True])
@pytest.mark.parametrize("sharp", [1, 4])
def test_the_recall_that_is_told_is_that_of_the_scores(borders, in_8_bits, sharp):
    G, S, D, H = 2, 27 * TILE, 64, 6
    bias = 3 * torch.randn(G, D, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(G, S, D, bias=bias)
    whole = as_read(keys, values, eight)
    both = coded(keys, values, eight) if in_8_bits else whole
    ends = [*borders, S]
    views = [
        (begin, end, sharp * queries(H, TILE, D, seed=end))
        for begin, end in zip([0, *borders], ends, strict=True)
    ]
    rule, means, told = BlockRule(512, dense_below=0), block_means(whole[0]), {}
    attend_tiles(rule, 0, views, *both, means, told.__setitem__)
    row = checked_row(S // TILE - 1)
    (chosen,) = rule.choose(0, views, whole[0], means)
    expected = recall(views, whole[0], row, chosen.keys())
    assert list(told) == [S - TILE + row]
    assert expected.min() < 0.7
    # the least of them, a ten millionth, too
    torch.testing.assert_close(told[S - TILE + row].log(), expected.log(), rtol=0, atol=1e-3)


def test_a_run_of_rows_is_a_run_of_what_they_stand_for():
    bias = 3 * torch.randn(2, 64, generator=torch.Generator().manual_seed(2))
    _, _, keys, values, eight, _ = written(2, 700, 64, bias=bias, reach=CHUNKS)
    rows, _ = coded(keys, values, eight)
    whole = rows.float()
    assert rows.shape == whole.shape and len(rows) == len(whole)
    part = rows[:, 128:600]
    assert isinstance(part, Coded) and part.codes.data_ptr() == rows.codes[:, 128:].data_ptr()
    torch.testing.assert_close(part.float(), whole[:, 128:600], rtol=0, atol=0)
    again = part[:, 2 * BLOCK : 300]
    torch.testing.assert_close(again.float(), whole[:, 256:428], rtol=0, atol=0)
    places = torch.tensor([5, 471, 64, 63])
    torch.testing.assert_close(part.picked(1, places), whole[1, 128:600][places].bfloat16())
    with pytest.raises(AssertionError):
        rows[:, 100:200]
