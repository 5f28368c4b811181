"""Refinement of Quotas: more for heads that are short of attention, less for those with plenty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK
from longctx.kernels.quotas import NO_MASS, Quota, Quotas
from longctx.runtime.config import ModelConfig
from longctx.runtime.tune_records import Sample

# The share of rows and heads that may have less than the wanted fidelity.
QUANTILE = 0.1
# The least that a Quota is lowered to.
FLOOR = 16 * BLOCK


def refined(
    rule: BlockRule, samples: Sequence[Sample], config: ModelConfig, fidelity: float, *, lower: bool
) -> BlockRule:
    """Returns the Rule with the Quotas that the samples ask for.

    A head whose low quantile of recall is below the wanted fidelity gets what would have reached
    it. One that has it gets less, with `lower`, if half of what may be lost is not lost with that.
    """
    layers = []
    for layer in range(config.num_layers):
        found = [sample for sample in samples if sample.layer == layer]
        quotas = rule.quotas_of(layer, config.num_kv_heads)
        per_group = config.num_heads // config.num_kv_heads
        layers.append(
            tuple(
                _refined(quota, found, range(g * per_group, (g + 1) * per_group), fidelity, lower)
                for g, quota in enumerate(quotas)
            )
        )
    tuned = Quotas(tuple(layers))
    return rule if tuned == every_quota(rule, config) else replace(rule, quotas=tuned)


def _refined(
    quota: Quota, samples: Sequence[Sample], heads: range, fidelity: float, lower: bool
) -> Quota:
    recall = low_recall(samples, heads)
    if recall is None:
        return quota
    if recall < fidelity:
        rows = [(s.needed[h], s.needed_let_in[h]) for s in samples for h in heads]
        most, mass = _enough([count if inside else None for count, inside in rows]), quota.mass
        if most is None:
            # the prediction stops too early: this head takes as many as it may
            most, mass = _enough([count for count, _ in rows]), NO_MASS
        assert most is not None, "every row has a count"
        return Quota(max(quota.max_keys, most * BLOCK), mass)
    least = _enough(
        [s.ample[h] if s.ample_let_in[h] else None for s in samples for h in heads] if lower else []
    )
    if least is None:
        return quota
    return replace(quota, max_keys=min(quota.max_keys, max(FLOOR, least * BLOCK)))


def low_recall(samples: Sequence[Sample], heads: range) -> float | None:
    """Returns the recall that all but QUANTILE of the rows and heads have; None without any."""
    recalls = sorted(sample.recalls[head] for sample in samples for head in heads)
    return recalls[int(QUANTILE * len(recalls))] if recalls else None


def _enough(counts: Sequence[int | None]) -> int | None:
    """Returns the count that is enough for all but QUANTILE of them; None where none is."""
    if not counts:
        return None
    ordered = sorted(counts, key=lambda count: float("inf") if count is None else count)
    return ordered[len(ordered) - 1 - int(QUANTILE * len(ordered))]


def every_quota(rule: BlockRule, config: ModelConfig) -> Quotas:
    """Returns the Quota of every KV head of every layer under a Rule."""
    groups = config.num_kv_heads
    return Quotas(tuple(tuple(rule.quotas_of(layer, groups)) for layer in range(config.num_layers)))


def mean_keys(samples: Sequence[Sample]) -> float:
    """Returns the keys of earlier tiles that a row attended to, in the mean over all heads."""
    taken = [blocks * BLOCK for sample in samples for blocks in sample.taken]
    return round(sum(taken) / len(taken), 1) if taken else 0.0
