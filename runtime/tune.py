"""Tuning: Quotas for every KV head of a model, by what checked rows of a real text needed.

The Qwen2.5-1M report (arXiv 2501.15383, section on sparsity refinement) raises what heads of low
attention recall get, at the length that is to be read. Here every checked row also tells how many
Blocks its heads would have needed, so that one pass over the text finds all Quotas; the next one
reads with them and confirms, since what earlier layers see changes what later ones look for. The
rows are those of the second half of the text: half of all tokens, and those that need most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from longctx.kernels.blocks import BlockRule
from longctx.kernels.compiled import compile_loops
from longctx.kernels.flash import TILE
from longctx.kernels.needs import MeasuringRule, Needs
from longctx.kernels.recall import is_checked
from longctx.runtime.config import ModelConfig, foreign_reason, load_config
from longctx.runtime.decoder import build_decoder
from longctx.runtime.engine import STEP_SIZE
from longctx.runtime.errors import ModelError
from longctx.runtime.extension import extend
from longctx.runtime.loading import origin_of
from longctx.runtime.narrow_weights import keeping_of
from longctx.runtime.numerics import Numerics, choose_numerics
from longctx.runtime.prefix_keeper import PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import DecoderReader
from longctx.runtime.refinement import QUANTILE, every_quota, low_recall, mean_keys, refined
from longctx.runtime.sight import Sight, prefill_rule
from longctx.runtime.store import model_at
from longctx.runtime.tune_records import Sample, TuneRecords
from longctx.runtime.tuned import MODE, Tuned, TunedHead, tuned_path, write_tuned
from longctx.runtime.weights import open_weights

# One that finds, one that confirms, and one with what was short still: other numbers in one layer
# make other needs in the next.
PASSES = 3

Progress = Callable[[str, int, int], None]
"""Told what is being done, and the tokens read so far and in all."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is tuned for: so many tokens of a text, read so, and the fidelity wanted of it.

    The text is read until no head is short of it, but no more than `passes` times.
    """

    length: int
    fidelity: float = 0.95
    attention: str = MODE
    extend: str = "none"
    numerics: str = "auto"
    passes: int = PASSES


@torch.inference_mode()
def tune(
    directory: Path,
    token_ids: Sequence[int],
    target: Target,
    *,
    prefixes: PrefixStore | None = None,
    on_progress: Progress = lambda phase, done, total: None,
    on_notice: Callable[[str], None] = lambda text: None,
) -> tuple[Path, Tuned]:
    """Returns what was tuned for the model in `directory`, and the file beside it that holds it.

    What was measured is kept beside the model at every Step, and what was read in `prefixes`, so
    that an interrupted run goes on where it stopped. Both are gone at the end.

    Raises:
        ModelError: the text is too short, the target cannot be, the model runs through
            transformers, or nothing can be written beside it.
    """
    config, rule = _checked(directory, token_ids, target)
    numerics = choose_numerics(target.numerics)
    if numerics.dtype == torch.bfloat16:
        compile_loops(on_notice)
    ids = np.asarray(token_ids[: target.length], dtype=np.int64)
    run = _Run(directory, config, numerics, target, ids, prefixes, on_progress, on_notice)
    try:
        records = run.open_records(rule)
        passes = [run.samples(1, rule, records)]
        rules = [rule]
        while len(passes) < target.passes:
            better = refined(rules[-1], passes[-1], config, target.fidelity, lower=len(passes) == 1)
            if better == rules[-1]:
                break
            rules.append(better)
            passes.append(run.samples(len(passes) + 1, better, records))
        tuned = _tuned(directory, config, target, rules[-1], passes)
        path = write_tuned(directory, tuned)
        records.remove()
    except OSError as error:
        raise ModelError(
            f"{directory}: what is tuned cannot be kept there: {error.strerror or error}",
            "make room on its disk, or take a copy of the model in a folder of yours",
        ) from error
    return path, tuned


def _checked(
    directory: Path, token_ids: Sequence[int], target: Target
) -> tuple[ModelConfig, BlockRule]:
    """Returns the model's config and the Rule that is tuned.

    Raises:
        ModelError: something that is asked for cannot be.
    """
    reason = foreign_reason(directory)
    if reason is not None:
        raise ModelError(f"{directory.name} runs through transformers ({reason}), which is dense")
    name, _, values = target.attention.partition(":")
    if name != MODE:
        raise ModelError(
            f"attention {name!r} cannot be tuned, expected {MODE!r}",
            f"leave out --attention {name}",
        )
    if not 0 < target.fidelity < 1:
        raise ModelError(f"fidelity is {target.fidelity}, expected above 0 and below 1")
    config = extend(load_config(directory), target.extend, target.length)
    if target.length > config.window:
        raise ModelError(
            f"the length is {target.length:,} tokens, the model reads {config.window:,}",
            "let it read on: --extend dca",
        )
    # naming a value of its own keeps out what was tuned before
    start = f"{MODE}:max_keys={BlockRule().max_keys}" + f",{values}" * bool(values)
    rule = prefill_rule(Sight(start), config, directory)
    assert isinstance(rule, BlockRule)
    dense = rule.dense_until(config.num_layers - 1)
    first = max(dense, _first_measured(target.length))
    if not any(map(is_checked, range(-(-first // TILE), target.length // TILE))):
        raise ModelError(
            f"the length is {target.length:,} tokens, the first {dense:,} of which attend densely: "
            "there is nothing to tune",
            f"tune at the length that is to be read: --length {4 * max(dense, TILE)}",
        )
    if len(token_ids) < target.length:
        raise ModelError(
            f"the text holds {len(token_ids):,} tokens, expected {target.length:,} or more",
            "give a longer one, or more of them, with --text",
        )
    return config, rule


def _first_measured(length: int) -> int:
    return length // 2


@dataclass(frozen=True, slots=True)
class _Run:
    """A model, what it is tuned for and on, and where what was read is kept."""

    directory: Path
    config: ModelConfig
    numerics: Numerics
    target: Target
    ids: NDArray[np.int64]
    prefixes: PrefixStore | None
    on_progress: Progress
    on_notice: Callable[[str], None]

    def open_records(self, rule: BlockRule) -> TuneRecords:
        """Returns what is measured already of this text under these settings."""
        settings = self._reader(rule, 1, []).settings
        told = {
            "model": model_at(self.directory).digest,
            "settings": hashlib.sha256(settings.encode()).hexdigest(),
            "text": hashlib.sha256(self.ids.tobytes()).hexdigest(),
            "fidelity": self.target.fidelity,
        }
        path = tuned_path(self.directory, self.target.length).with_suffix(".partial")
        records = TuneRecords(path, told)
        if records.is_foreign:
            self.on_notice(f"{path.name} was of another text or setting: it begins anew")
        return records

    def samples(self, number: int, rule: BlockRule, records: TuneRecords) -> list[Sample]:
        """Returns what a pass over the text under a Rule measured, going on where it stopped."""
        if records.end(number) < len(self.ids):
            self._read(number, rule, records)
        return records.samples(number)

    def _read(self, number: int, rule: BlockRule, records: TuneRecords) -> None:
        fresh: list[Sample] = []
        total, phase = len(self.ids), f"pass {number} over the text"
        reader = self._reader(rule, total, fresh)
        keeper, start = None, 0
        if self.prefixes is not None and not reader.decoder.has_stand_ins:
            origin = origin_of(reader, self.directory, f"tune at {total} tokens")
            keeper = PrefixKeeper(self.prefixes, origin, reader.cache, self.on_notice)
            # what was read and not measured, by whomever, is read again
            start = min(keeper.restore(self.ids, total, 0), records.end(number))
            start -= start % keeper.grid
            reader.truncate(start)
        try:
            while start < total:
                end = min(start - start % STEP_SIZE + STEP_SIZE, total)

                def on_part(share: float, start: int = start, end: int = end) -> None:
                    self.on_progress(phase, start + int(share * (end - start)), total)

                self.on_progress(phase, start, total)
                reader.read(torch.from_numpy(self.ids[start:end]), on_part, dense=False)
                # before what was read is stored: nothing stored is then unmeasured
                records.add(number, start, end, fresh)
                fresh.clear()
                if keeper is not None:
                    keeper.keep(end)
                start = end
        finally:
            if keeper is not None:
                keeper.close()
        if keeper is not None and self.prefixes is not None:
            self.prefixes.remove([link.name for link in keeper.links(self.ids, total)][::-1])

    def _reader(self, rule: BlockRule, capacity: int, fresh: list[Sample]) -> DecoderReader:
        """Returns a Reader under the Rule that leaves what it measures in `fresh`."""

        def add(layer: int, position: int, needs: Needs) -> None:
            recalls = tuple(round(recall, 6) for recall in needs.recalls.tolist())
            counts, let_in = needs.counts.tolist(), needs.let_in.tolist()
            both = (tuple(counts[0]), tuple(let_in[0]), tuple(counts[1]), tuple(let_in[1]))
            fresh.append(Sample(layer, position, recalls, tuple(needs.taken.tolist()), *both))

        weights = open_weights(self.directory)
        wanted = self.target.fidelity, (1 + self.target.fidelity) / 2
        measuring = MeasuringRule(rule, _first_measured(self.target.length), wanted, add)
        decoder = build_decoder(
            self.config,
            weights,
            self.numerics,
            rule=measuring,
            keeping=keeping_of(self.directory, self.numerics, self.prefixes, self.on_notice),
            release=weights.release,
        )
        return DecoderReader(decoder, capacity)


def _tuned(
    directory: Path,
    config: ModelConfig,
    target: Target,
    rule: BlockRule,
    passes: Sequence[Sequence[Sample]],
) -> Tuned:
    """Returns what came of all passes, the last of them under `rule`."""
    per_group = config.num_heads // config.num_kv_heads
    layers = []
    for layer, quotas in enumerate(every_quota(rule, config).layers):
        first, last = ([s for s in passes[i] if s.layer == layer] for i in (0, -1))
        heads = [range(g * per_group, (g + 1) * per_group) for g in range(len(quotas))]
        layers.append(
            tuple(
                TunedHead(b.max_keys, b.mass, low_recall(first, at), low_recall(last, at))
                for b, at in zip(quotas, heads, strict=True)
            )
        )
    return Tuned(
        model=model_at(directory).digest,
        attention=target.attention,
        extend=target.extend,
        numerics=choose_numerics(target.numerics).name,
        length=target.length,
        fidelity=target.fidelity,
        quantile=QUANTILE,
        passes=len(passes),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        keys_before=mean_keys(passes[0]),
        keys=mean_keys(passes[-1]),
        layers=tuple(layers),
    )
