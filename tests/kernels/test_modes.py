"""Every mode of sparse attention against its reference: plain and in every range of the Chunks."""

import pytest
import torch

from longctx.kernels import reference, reference_modes
from longctx.kernels.blocks import BlockRule, block_means, tri_shape
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.recall import block_shares, is_checked
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.sparse import attend_one, attend_tiles
from longctx.kernels.vertical_slash import VerticalSlashRule, estimate

CHUNKS = DualChunk(768, 256, 768)
BLOCKS = BlockRule(max_keys=384, mass=0.7, sinks=1, window=2, dense_below=0)
LINES = VerticalSlashRule(vertical=40, slash=60, sinks=3, window=9, dense_below=0)
BY_HEAD = VerticalSlashRule(
    dense_below=0, sinks=2, window=5, quotas=[[], [(5, 90), (70, 6), (30, 30), (1, 1)]]
)
RULES = {
    "blocks": BLOCKS,
    "tri-shape": tri_shape(3, sinks=1, dense_below=0),
    "vertical-slash": LINES,
    "by head": BY_HEAD,
}
FREQUENCIES = inverse_frequencies(16, 1e4, {})


def turned(x, positions, factor=1.0):
    cos, sin = angles(FREQUENCIES, positions)
    return rotate(x.transpose(0, 1), cos * factor, sin * factor).transpose(0, 1).contiguous()


def case(reach, end, num_queries, num_heads=4, num_groups=2):
    """Returns raw q, keys, values and what the fast path gets: Views, turned keys, means."""
    generator = torch.Generator().manual_seed(end)
    q = torch.randn(num_heads, num_queries, 16, generator=generator)
    # runs of keys that have something in common, as real ones have
    keys = torch.randn(num_groups, end, 16, generator=generator)
    keys += torch.randn(num_groups, end // 50 + 1, 16, generator=generator).repeat_interleave(
        50, 1
    )[:, :end]
    values = torch.randn(num_groups, end, 16, generator=generator)
    start = end - num_queries
    factor = reach.temperature(torch.arange(start, end))[:, None]
    views = [
        (view.begin, view.end, turned(q, view.positions, factor))
        for view in reach.views(start, num_queries)
    ]
    cached = turned(keys, reach.key_positions(torch.arange(end)))
    return q, keys, values, views, cached, block_means(cached)


def dense_scores(reach, q, keys):
    if reach.stride:
        return reference.dual_chunk_scores(q, keys, FREQUENCIES, reach)
    end = keys.shape[1]
    at_q, at_k = torch.arange(end - q.shape[1], end), torch.arange(end)
    return reference.plain_scores(turned(q, at_q), turned(keys, at_k))


def seen_by_reference(rule, scores, first, last, num_groups=2):
    """What the queries [first, last) of a piece of the grid see, bool [K, T, S]."""
    start = scores.shape[2] - scores.shape[1]
    piece = scores[:, first:last, : start + last]
    if isinstance(rule, VerticalSlashRule):
        seen = reference_modes.vertical_slash(piece, 1, rule)
    elif rule.mass == 0:
        seen = reference_modes.tri_shape(piece, rule)
    else:
        seen = reference_modes.blocks(piece, num_groups, rule)
    later = scores.shape[2] - start - last
    return torch.nn.functional.pad(seen, (0, later))


def expected_of(rule, reach, q, keys, values):
    """Attention of the reference, and what is seen, piece by piece."""
    scores = dense_scores(reach, q, keys)
    num_queries, end = q.shape[1], keys.shape[1]
    start, first, seen = end - num_queries, 0, []
    while first < num_queries:
        last = min(num_queries, first + rule.grid - (start + first) % rule.grid)
        if last - first < rule.grid:
            part = torch.ones(1, last - first, end, dtype=torch.bool)
        else:
            part = seen_by_reference(rule, scores, first, last)
        seen.append(part.repeat_interleave(4 // len(part), 0))
        first = last
    seen = torch.cat(seen, 1)
    return reference.attention_of_scores(scores, values, seen), reference.recall(scores, seen)


# Chunks of 512 tokens: the queries see their own, also the one before, also all earlier ones
@pytest.mark.parametrize("end", [512, 1024, 2048])
@pytest.mark.parametrize("reach", [Plain(), CHUNKS], ids=["plain", "chunks"])
@pytest.mark.parametrize("name", RULES)
def test_a_mode_equals_its_reference(name, reach, end):
    rule = RULES[name]
    q, keys, values, views, cached, means = case(reach, end, 512)
    expected, expected_recall = expected_of(rule, reach, q, keys, values)
    recalls = {}
    got = attend_tiles(rule, 1, views, cached, values, means, recalls.__setitem__)
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)
    assert recalls or end > 1024
    for position, recall in recalls.items():
        row = position - (end - 512)
        torch.testing.assert_close(recall, expected_recall[:, row], atol=1e-4, rtol=1e-4)
    if end > 1024:
        dense = reference.attention_of_scores(
            dense_scores(reach, q, keys), values, torch.ones(1, 512, end, dtype=torch.bool)
        )
        assert (got - dense).norm() > 0.01 * dense.norm(), "a mode that leaves nothing out"


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("end", "num_queries"), [(1100, 70), (1411, 411), (1536, 470), (1001, 1)])
def test_torn_pieces_see_everything(name, end, num_queries):
    rule = RULES[name]
    q, keys, values, views, cached, means = case(Plain(), end, num_queries)
    expected, _ = expected_of(rule, Plain(), q, keys, values)
    got = attend_tiles(rule, 1, views, cached, values, means)
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize("reach", [Plain(), CHUNKS], ids=["plain", "chunks"])
def test_columns_and_diagonals_are_summed_over_runs_of_keys(reach):
    q, keys, _, views, cached, _ = case(reach, 2048, 512)
    columns, diagonals = estimate(views, cached, 64)
    scores = dense_scores(reach, q, keys)[:, -64:]
    later = torch.arange(2048) > torch.arange(2048 - 64, 2048)[:, None]
    weights = scores.masked_fill(later, float("-inf")).softmax(-1)
    torch.testing.assert_close(columns, weights.sum(1), atol=1e-4, rtol=1e-4)
    by_distance = torch.stack(
        [weights.diagonal(2048 - 64 - distance, 1, 2).sum(-1) for distance in range(1000)], 1
    )
    torch.testing.assert_close(diagonals[:, :1000], by_distance, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("wanted", [0.3, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("reach", [Plain(), CHUNKS], ids=["plain", "chunks"])
def test_tiles_below_the_wanted_fidelity_get_more(reach, wanted):
    q, keys, values, views, cached, means = case(reach, 2048, 512)
    rule = BlockRule(max_keys=128, mass=0.5, sinks=1, window=1, dense_below=0, fidelity=wanted)
    chosen = rule.choose(0, views, cached, means)
    assert len(chosen) == 4
    shares = block_shares(views, cached, 511, BLOCK).view(2, 2, -1).mean(1)
    last = chosen[-1].blocks
    kept = (shares[:, : last.shape[1]] * last).sum(-1) + shares[:, last.shape[1] :].sum(-1)
    assert (kept >= wanted - 1e-5).all()
    plain = BlockRule(max_keys=128, mass=0.5, sinks=1, window=1, dense_below=0)
    for more, few in zip(chosen, plain.choose(0, views, cached, means), strict=True):
        assert (more.blocks >= few.blocks).all()
    if wanted == 0.97:
        # no more than it takes: without the last one taken it is not enough
        for group in range(2):
            taken = last[group] & ~plain.choose(0, views, cached, means)[-1].blocks[group]
            if taken.any():
                least = shares[group, : last.shape[1]][taken].min()
                assert kept[group] - shares[group, : last.shape[1]][taken].max() < wanted + least


def test_shares_of_blocks_are_those_of_the_softmax():
    q, keys, _, views, cached, _ = case(CHUNKS, 1536, 512)
    scores = dense_scores(CHUNKS, q, keys)
    for row in (0, 63, 64, 300, 511):
        end = 1024 + row + 1
        weights = scores[:, row, :end].softmax(-1)
        expected = torch.nn.functional.pad(weights, (0, -end % BLOCK)).unflatten(1, (-1, BLOCK))
        got = block_shares(views, cached, row, BLOCK)
        torch.testing.assert_close(got, expected.sum(-1), atol=1e-5, rtol=1e-4)


def test_the_checks_grow_with_the_logarithm_of_the_length():
    checked = [sum(map(is_checked, range(1 << k, 1 << (k + 1)))) for k in range(14)]
    assert checked == [1, 2, 4, 8, 16] + [32] * 9


@pytest.mark.parametrize("reach", [Plain(), CHUNKS], ids=["plain", "chunks"])
@pytest.mark.parametrize("end", [1, 64, 65, 513, 700, 1025, 1999])
def test_a_decoded_token_equals_the_reference(reach, end):
    q, keys, values, views, cached, means = case(reach, end, 1)
    scores = dense_scores(reach, q, keys)
    whole = (end - 1) // BLOCK
    pooled = scores[:, 0, : whole * BLOCK].unflatten(1, (whole, BLOCK)).mean(-1) if whole else None
    seen = torch.ones(2, 1, end, dtype=torch.bool)
    if whole:
        mass = pooled.softmax(-1).view(2, 2, whole).mean(1)
        for group in range(2):
            chosen = {n for n in range(whole) if n < BLOCKS.sinks or n >= whole - BLOCKS.window}
            for block in mass[group].argsort(descending=True).tolist():
                found = sum(mass[group, n].item() for n in chosen)
                if found >= BLOCKS.mass or len(chosen) >= BLOCKS.max_keys // BLOCK:
                    break
                chosen.add(block)
            for block in set(range(whole)) - chosen:
                seen[group, 0, block * BLOCK : (block + 1) * BLOCK] = False
    got = attend_one(BLOCKS, views, cached, values, means)
    expected = reference.attention_of_scores(scores, values, seen)
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)
    if end > 1000:
        assert not seen.all()


def test_the_grids_are_whole_tiles():
    assert all(rule.grid % TILE == 0 for rule in RULES.values())


def with_stand_ins(rule, reach, q, keys, values):
    """Attention by the reference, each stand-in as BLOCK keys with the mean score and value."""
    scores, groups = dense_scores(reach, q, keys), len(keys)
    num_queries, end = q.shape[1], keys.shape[1]
    num_blocks = (end - num_queries) // BLOCK
    seen = reference_modes.blocks(scores, groups, rule)
    past = scores[:, :, : num_blocks * BLOCK].reshape(4, num_queries, num_blocks, BLOCK)
    mass = past.mean((1, 3)).softmax(-1).view(groups, -1, num_blocks).mean(1)
    chosen = seen[:, 0, : num_blocks * BLOCK].view(groups, num_blocks, BLOCK).all(-1)
    by_mean = past.mean(3)[..., None].expand_as(past).reshape(4, num_queries, -1)
    stood_values = values.clone()
    whole = values[:, : num_blocks * BLOCK].view(groups, num_blocks, BLOCK, -1)
    for group in range(groups):
        order = mass[group].argsort(descending=True).tolist()
        for block in [n for n in order if not chosen[group, n]][: rule.stand_ins]:
            keys_of = slice(block * BLOCK, (block + 1) * BLOCK)
            heads = slice(group * 2, group * 2 + 2)
            scores[heads, :, keys_of] = by_mean[heads, :, keys_of]
            stood_values[group, keys_of] = whole[group, block].mean(0)
            seen[group, :, keys_of] = True
    return reference.attention_of_scores(scores, stood_values, seen)


@pytest.mark.parametrize("count", [1, 5, 1000])
@pytest.mark.parametrize("reach", [Plain(), CHUNKS], ids=["plain", "chunks"])
def test_pruned_blocks_are_stood_for_by_their_means(reach, count):
    rule = BlockRule(max_keys=256, sinks=1, window=1, dense_below=0, stand_ins=count)
    q, keys, values, views, cached, means = case(reach, 1664, TILE)
    got = attend_tiles(rule, 0, views, cached, values, means, value_means=block_means(values))
    expected = with_stand_ins(rule, reach, q, keys, values)
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)


def test_stand_ins_lower_the_error_where_keys_have_something_in_common():
    q, keys, values, views, cached, means = case(Plain(), 2048, TILE)
    everything = torch.ones(1, TILE, 2048, dtype=torch.bool)
    dense = reference.attention_of_scores(dense_scores(Plain(), q, keys), values, everything)
    errors = []
    for count in (0, 8, 1000):
        rule = BlockRule(max_keys=256, sinks=1, window=1, dense_below=0, stand_ins=count)
        got = attend_tiles(rule, 0, views, cached, values, means, None, block_means(values))
        errors.append(((got - dense).norm() / dense.norm()).item())
    assert errors[0] > 1.1 * errors[1] > 1.2 * errors[2], errors


def test_a_decoded_token_has_stand_ins_too():
    q, keys, values, views, cached, means = case(Plain(), 1665, 1)
    rule = BlockRule(max_keys=256, sinks=1, window=1, dense_below=0, stand_ins=6)
    got = attend_one(rule, views, cached, values, means, block_means(values))
    expected = with_stand_ins(rule, Plain(), q, keys, values)
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=3e-5)
