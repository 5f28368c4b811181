"""Models that their makers do not stretch, read past their native window."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.decoder import build_decoder
from longctx.runtime.errors import ModelError
from longctx.runtime.extension import SMALL, extend
from longctx.runtime.loading import load_engine
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.sight import Sight
from longctx.runtime.weights import open_weights


@pytest.fixture
def directory(tiny_model_dir, tmp_path):
    """A tiny model that was trained for 256 tokens."""
    path = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
    raw = json.loads((path / "config.json").read_text()) | {"max_position_embeddings": 256}
    (path / "config.json").write_text(json.dumps(raw))
    return path


def ids_of(count):
    return torch.randint(0, 500, (count,), generator=torch.Generator().manual_seed(count)).tolist()


@torch.inference_mode()
def logits(directory, ids, sight, step_size=2048):
    engine = load_engine(directory, window=len(ids), numerics="float32", sight=sight)
    engine.step_size = step_size
    return engine._prefill(ids, None, lambda done, total: None)


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


def test_dual_chunks_have_the_same_numbers_at_every_window(directory):
    config = load_config(directory)
    for window in (None, 300, 4096):
        stretched = extend(config, "dca", window)
        assert (stretched.dual_chunk, stretched.window) == ((128, 32), 8192)
        assert stretched.native_window == 256


def test_larger_models_see_as_far_in_a_chunk_as_they_were_trained_to(directory):
    config = replace(load_config(directory), hidden_size=SMALL)
    assert extend(config, "dca").dual_chunk == (256, 64)


@pytest.mark.parametrize(
    ("window", "factor"),
    [(None, 4), (1, 1), (256, 1), (257, 2), (1024, 4), (1025, 8), (8192, 32), (10**9, 32)],
)
def test_the_factor_of_yarn_follows_from_the_window_that_is_asked_for(directory, window, factor):
    stretched = extend(load_config(directory), "yarn", window)
    assert stretched.rope_scaling["factor"] == factor
    assert (stretched.window, stretched.native_window) == (256 * factor, 256)


def test_yarn_from_the_flag_is_yarn_from_the_config(directory):
    ids = ids_of(700)
    by_flag = logits(directory, ids, Sight(extend="yarn", window=1000))
    raw = json.loads((directory / "config.json").read_text())
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
    raw |= {"rope_theta": load_config(directory).rope_theta, "rope_parameters": scaling}
    (directory / "config.json").write_text(json.dumps(raw))
    assert torch.equal(by_flag, logits(directory, ids, Sight()))


@pytest.mark.parametrize("step_size", [64, 200])
@pytest.mark.parametrize("name", ["dca", "yarn"])
def test_an_extension_reads_on_past_the_native_window(directory, name, step_size):
    sight, ids = Sight(extend=name, window=1024), ids_of(1000)
    whole = logits(directory, ids, sight)
    assert distance(logits(directory, ids, sight, step_size), whole) < 1e-5
    # within a Chunk it changes nothing but what YaRN does to every position
    short = distance(logits(directory, ids[:96], sight), logits(directory, ids[:96], Sight()))
    assert short < 1e-6 if name == "dca" else short > 1e-3


def test_without_an_extension_the_native_window_is_the_end(directory):
    assert load_engine(directory, window=1000).window == 256
    assert load_engine(directory, window=1000, sight=Sight(extend="dca")).window == 1000


def test_a_model_keeps_the_stretch_of_its_makers(directory):
    raw = json.loads((directory / "config.json").read_text())
    raw["dual_chunk_attention_config"] = {"chunk_size": 96, "local_size": 24}
    (directory / "config.json").write_text(json.dumps(raw))
    config = load_config(directory)
    assert extend(config, "dca") == config
    with pytest.raises(ModelError, match="stretched by its own dca") as refusal:
        extend(config, "yarn")
    assert "--extend" in refusal.value.hint


def test_what_cannot_be_is_named(directory):
    config = load_config(directory)
    with pytest.raises(ModelError, match="'ntk' is not one of none, dca, yarn"):
        extend(config, "ntk")


def test_the_published_temperature_of_the_whole_length_differs_from_that_of_the_row(directory):
    """The difference can be measured; at the last row of a prompt both rules agree."""
    ids = ids_of(1000)
    row = logits(directory, ids, Sight(extend="dca"))
    total = logits(directory, ids, Sight(extend="dca", temperature_length=len(ids)))
    assert 1e-4 < distance(total, row) < 1
    config = extend(load_config(directory), "dca")
    decoder = build_decoder(
        config,
        open_weights(directory),
        choose_numerics("float32"),
        temperature_length=1000,
    )
    by_total = decoder.reach.temperature(torch.tensor([0, 500, 999]))
    by_row = build_decoder(
        config, open_weights(directory), choose_numerics("float32")
    ).reach.temperature(torch.tensor([0, 500, 999]))
    assert by_total.unique().numel() == 1 and by_total[0] == by_row[2] > by_row[1] > by_row[0] == 1
