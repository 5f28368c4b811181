"""What tokens attend to, asked for by name, in the whole engine with a tiny random model."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import load_config
from longctx.runtime.errors import ModelError
from longctx.runtime.loading import load_engine
from longctx.runtime.reader import DecoderReader
from longctx.runtime.sight import Sight, decode_rule, head_quotas, prefill_rule

MODES = (
    "blocks:max_keys=256,mass=0.9,sinks=1,window=2,dense_below=256",
    "tri-shape:window=2,dense_below=256",
    "vertical-slash:vertical=40,slash=100,sinks=3,window=70,dense_below=256",
)


@pytest.fixture
def directory(tiny_model_dir):
    return tiny_model_dir("qwen2")


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


@torch.inference_mode()
def read(directory, ids, step_size=2048, question=None, **sight):
    engine = load_engine(directory, window=2048, numerics="float32", sight=Sight(**sight))
    engine.step_size = step_size
    return engine._prefill(ids, question, lambda done, total: None), engine


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("extend", ["none", "dca"])
@pytest.mark.parametrize("attention", MODES)
def test_the_step_size_and_what_follows_do_not_matter(directory, attention, extend, tmp_path):
    if extend == "dca":
        directory = shutil.copytree(directory, tmp_path / "model")
        raw = json.loads((directory / "config.json").read_text())
        raw["dual_chunk_attention_config"] = {
            "chunk_size": 768, "local_size": 256, "original_max_position_embeddings": 768
        }  # fmt: skip
        (directory / "config.json").write_text(json.dumps(raw))
    ids = ids_of(1400)
    window = {"window": 2048, "extend": extend} if extend == "dca" else {}
    whole, engine = read(directory, ids, attention=attention, **window)
    for step_size in (512, 700):
        pieces, _ = read(directory, ids, step_size, attention=attention, **window)
        assert distance(pieces, whole) < 1e-5
    # up to the last whole piece of the grid a shorter prompt has left the same behind
    _, shorter = read(directory, ids[:1100], attention=attention, **window)
    for one, two in zip(engine.reader.cache.keys, shorter.reader.cache.keys, strict=True):
        torch.testing.assert_close(one[:, :1024], two[:, :1024], atol=1e-5, rtol=1e-5)
    dense, _ = read(directory, ids, **window)
    assert distance(whole, dense) > 1e-4, "a mode that leaves nothing out"


@pytest.mark.parametrize("attention", MODES)
def test_the_recall_of_a_run_is_kept(directory, attention):
    _, engine = read(directory, ids_of(1400), attention=attention)
    meter = engine.meter
    num_heads = load_config(directory).num_heads
    assert meter.recalls and len(meter.recalls) % (3 * num_heads) == 0
    assert meter.worst.recall == min(meter.recalls) < meter.median <= max(meter.recalls) < 1.0001
    assert 256 <= meter.worst.position < 1400 and meter.worst.head < num_heads
    _, dense = read(directory, ids_of(1400))
    assert dense.meter.recalls == [] and dense.meter.median is None


def test_a_wanted_fidelity_is_reached(directory):
    ids = ids_of(1536)
    _, few = read(directory, ids, attention=MODES[0])
    _, more = read(directory, ids, attention=MODES[0], fidelity=0.9)
    assert more.meter.median > max(0.88, few.meter.median)
    whole, _ = read(directory, ids, attention=MODES[0], fidelity=1.0)
    assert distance(whole, read(directory, ids)[0]) < 1e-3


def watch(reader, name, logits):
    """Let `logits` hear of what a method of the reader returns."""
    method = getattr(reader, name)

    def watched(*args, **options):
        logits.append(method(*args, **options))
        return logits[-1]

    setattr(reader, name, watched)


def test_decoded_tokens_see_chosen_blocks_past_their_length(directory, monkeypatch):
    monkeypatch.setattr(DecoderReader, "most_rows", 1)
    ids = ids_of(1200)

    def written(**sight):
        engine = load_engine(directory, numerics="float32", sight=Sight(**sight))
        logits = []
        for name in ("read", "decode"):
            watch(engine.reader, name, logits)
        tokens = list(engine.generate(ids, max_tokens=6))
        return tokens, logits

    tokens, dense = written()
    everything = written(decoding="blocks:max_keys=1000000,mass=1.1,dense_below=0")
    assert everything[0] == tokens
    for one, other in zip(dense, everything[1], strict=True):
        assert distance(one, other) < 1e-5
    _, few = written(decoding="blocks:max_keys=128,sinks=1,window=1,dense_below=0")
    # the prompt itself is read densely
    assert distance(few[0], dense[0]) < 1e-6 and distance(few[1], dense[1]) > 1e-4
    _, below = written(decoding="blocks:max_keys=128,sinks=1,window=1,dense_below=2000")
    assert distance(below[-1], dense[-1]) < 1e-6


def test_stand_ins_bring_the_result_nearer_to_dense(directory):
    """The means of values are kept where they are asked for, also across a cut-back cache."""
    ids, dense_ids = ids_of(1400), read(directory, ids_of(1400))[0]
    few, plain = read(directory, ids, attention=MODES[0])
    stood, engine = read(directory, ids, attention=MODES[0] + ",stand_ins=1000")
    assert plain.reader.cache.value_means is None
    assert distance(stood, dense_ids) < distance(few, dense_ids)
    with torch.inference_mode():
        engine._prefill(ids[:600] + ids_of(100, seed=4), None, lambda done, total: None)
    cache = engine.reader.cache
    for values, means in zip(cache.values, cache.value_means, strict=True):
        whole = values[:, :640].unflatten(1, (10, 64)).mean(2)
        torch.testing.assert_close(means[:, :10], whole)


def test_modes_and_their_values_go_by_name(directory):
    config = load_config(directory)

    def rule(attention, **more):
        return prefill_rule(Sight(attention, **more), config, directory)

    assert rule("dense") is None and rule("auto") is None
    assert decode_rule(Sight(), config) is None
    past = replace(config, window=8 * config.native_window)
    assert prefill_rule(Sight(), past, directory) == BlockRule(dense_below=16_384)
    assert prefill_rule(Sight("dense"), past, directory) is None
    assert decode_rule(Sight(), past) is None
    one = BlockRule(16_384, 0.999, dense_below=16_384)
    assert decode_rule(Sight(decoding="blocks"), past) == one
    torn = replace(past, dual_chunk=(2_048, 100))
    assert prefill_rule(Sight(), torn, directory) is None
    assert rule("blocks") == BlockRule()
    assert rule("blocks:max_keys=512,mass=0.5", fidelity=0.9) == BlockRule(
        max_keys=512, mass=0.5, fidelity=0.9
    )
    assert rule("tri-shape").mass == 0
    assert rule("vertical-slash:slash=77") == VerticalSlashRule(slash=77)
    assert decode_rule(Sight(decoding="blocks"), config) == one


@pytest.mark.parametrize(
    ("sight", "said"),
    [
        (Sight("sparse"), "'sparse' is not one of auto, dense, blocks, vertical-slash, tri-shape"),
        (Sight("blocks:size=3"), "'size=3' is no value of this attention"),
        (Sight("blocks:mass=much"), "'mass=much' is no value"),
        (Sight("dense", fidelity=0.9), "for --attention blocks, not dense"),
        (Sight("blocks", fidelity=0.0), "fidelity is 0.0"),
    ],
)
def test_what_cannot_be_is_named(directory, sight, said):
    with pytest.raises(ModelError, match=said):
        prefill_rule(sight, load_config(directory), directory)


def test_quotas_shipped_with_a_model_are_read(directory, tmp_path):
    """A file of its own, as Qwen ships it, or a part of config.json."""
    path = shutil.copytree(directory, tmp_path / "model")
    config = load_config(path)
    assert head_quotas(config, path) == ()
    layer = {str(head): ["vertical_and_slash", 10 + head, 20, 0.9] for head in range(4)}
    shipped = path / "sparse_attention_config.json"
    shipped.write_text(json.dumps([layer] * 3))
    rule = prefill_rule(Sight("vertical-slash"), config, path)
    assert rule.quotas[2] == [(10, 20), (11, 20), (12, 20), (13, 20)]
    shipped.write_text(json.dumps([layer] * 2))
    with pytest.raises(ModelError, match="4 heads of 3 layers"):
        head_quotas(config, path)
    raw = json.loads((path / "config.json").read_text())
    raw["dual_chunk_attention_config"] = {
        "chunk_size": 768, "local_size": 256, "sparse_attention_config": [layer] * 3
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(raw))
    assert head_quotas(load_config(path), path) == rule.quotas


def test_a_foreign_model_has_no_modes(tiny_model_dir, tmp_path):
    path = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
    raw = json.loads((path / "config.json").read_text()) | {"mlp_bias": True}
    (path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="runs through transformers"):
        load_engine(path, sight=Sight("blocks"))
