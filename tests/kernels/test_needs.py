"""What checked rows are said to need, against the choice with that many Blocks."""

import pytest
import torch

from longctx.kernels.blocks import BlockRule, block_means, choose_blocks, predicted_mass
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.needs import MeasuringRule, needs_of
from longctx.kernels.quotas import NO_MASS, Quota, Quotas
from longctx.kernels.recall import block_shares, checked_row, recall
from longctx.kernels.sparse import attend_tiles

H, G, D = 4, 2, 16


def case(end, num_queries):
    """Returns Views, keys, values and means; runs of keys have something in common."""
    generator = torch.Generator().manual_seed(end)
    q = 2 * torch.randn(H, num_queries, D, generator=generator)
    keys = torch.randn(G, end, D, generator=generator)
    keys += torch.randn(G, end // 64, D, generator=generator).repeat_interleave(64, 1)
    values = torch.randn(G, end, D, generator=generator)
    return [(0, end, q)], keys, values, block_means(keys)


@pytest.mark.parametrize("mass", [0.3, 0.9, NO_MASS])
@pytest.mark.parametrize("num_blocks", [2, 5, 26])
def test_so_many_blocks_are_enough_and_one_less_is_not(num_blocks, mass):
    end = num_blocks * BLOCK + TILE
    views, keys, _, means = case(end, TILE)
    rule = BlockRule(max_keys=256, mass=mass, sinks=1, window=1, dense_below=0)
    quotas = [Quota(256, mass), Quota(384, mass)]
    predicted = predicted_mass(views, means[:, :num_blocks])
    chosen = choose_blocks(predicted, rule, quotas)
    wanted = (0.2, 0.6, 0.95, 1.0)
    shares = block_shares(views, keys, 70, BLOCK)
    needs = needs_of(rule, quotas, predicted, shares, chosen, wanted)
    assert needs.taken.tolist() == chosen.sum(-1).tolist()
    expected = recall(views, keys, 70, chosen.repeat_interleave(BLOCK, 1))
    torch.testing.assert_close(needs.recalls, expected, atol=1e-5, rtol=1e-5)

    def reached(count, mass):
        """The recall of each head, and the Blocks of each KV head, with such a Quota."""
        blocks = choose_blocks(predicted, rule, [Quota(count * BLOCK, mass)] * G)
        return recall(views, keys, 70, blocks.repeat_interleave(BLOCK, 1)), blocks.sum(-1)

    for row, share in enumerate(wanted[:-1]):
        for head in range(H):
            count, let_in = int(needs.counts[row, head]), bool(needs.let_in[row, head])
            assert 0 <= count <= num_blocks
            assert reached(max(count, 2), NO_MASS)[0][head] >= share - 1e-5
            if count > 2:
                assert reached(count - 1, NO_MASS)[0][head] < share + 1e-5
            # with the mass of the Quota as many are taken, or fewer if it does not let them in
            taken = int(reached(max(count, 1), mass)[1][head * G // H])
            assert (taken >= count) == let_in
    assert (needs.counts[-1] <= num_blocks).all()


def test_a_rule_that_measures_reads_and_is_named_alike():
    views, keys, values, means = case(2_048, 1_024)
    quotas = Quotas(((Quota(256, 0.9), Quota(512, NO_MASS)),))
    rule = BlockRule(sinks=1, window=1, dense_below=256, stand_ins=0, quotas=quotas)
    found, recalls = {}, {}
    measuring = MeasuringRule(
        rule, 1_250, (0.5, 0.9), lambda layer, position, needs: found.__setitem__(position, needs)
    )
    assert (repr(measuring), measuring.grid, measuring.stand_ins) == (repr(rule), TILE, 0)
    assert measuring.dense_until(0) == 256
    got = attend_tiles(measuring, 0, views, keys, values, means, recalls.__setitem__)
    torch.testing.assert_close(got, attend_tiles(rule, 0, views, keys, values, means))
    assert sorted(recalls) == [tile * TILE + checked_row(tile) for tile in range(8, 16)]
    assert sorted(found) == sorted(recalls)[2:]
    for position, needs in found.items():
        torch.testing.assert_close(needs.recalls, recalls[position], atol=1e-5, rtol=1e-5)
        assert needs.counts.shape == needs.let_in.shape == (2, H)
        assert (needs.counts[0] <= needs.counts[1]).all()
