"""Past the trained window: Dual Chunk Attention and YaRN in the whole decoder."""

import json
import shutil

import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.decoder import forward
from longctx.runtime.loading import load_engine

CHUNKS = {"chunk_size": 96, "local_size": 24, "original_max_position_embeddings": 96}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.fixture
def stretched(tiny_model_dir, tmp_path):
    """A function that leaves a tiny model with further values in its config."""

    def model(**changes):
        path = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
        raw = json.loads((path / "config.json").read_text())
        raw.pop("rope_parameters", None)
        raw |= {"rope_theta": 1e4, "max_position_embeddings": 2048} | changes
        (path / "config.json").write_text(json.dumps(raw))
        return path

    return model


def random_ids(count):
    return torch.randint(0, 500, (count,), generator=torch.Generator().manual_seed(count)).tolist()


@torch.inference_mode()
def logits(path, ids, step_size, numerics="float32"):
    reader = load_engine(path, numerics=numerics, window=len(ids)).reader
    rows = []
    for start in range(0, len(ids), step_size):
        hidden = forward(reader.decoder, torch.tensor(ids[start : start + step_size]), reader.cache)
        rows.append(reader.decoder.logits(hidden))
    return torch.cat(rows)


@torch.inference_mode()
def their_logits(path, ids):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return model(torch.tensor([ids])).logits[0]


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


def test_windows_of_a_stretched_model(stretched):
    config = load_config(stretched(dual_chunk_attention_config=CHUNKS))
    assert (config.native_window, config.window, config.dual_chunk) == (96, 2048, (96, 24))


@pytest.mark.parametrize("step_size", [1, 50, 71, 512])
def test_the_step_size_does_not_matter_across_chunks(stretched, step_size):
    path = stretched(dual_chunk_attention_config=CHUNKS)
    ids = random_ids(301)
    assert distance(logits(path, ids, step_size), logits(path, ids, 300)) < 1e-5


def test_up_to_one_chunk_it_is_the_model_without(stretched, tiny_model_dir):
    path = stretched(dual_chunk_attention_config=CHUNKS)
    ids = random_ids(72)
    assert distance(logits(path, ids, 512), their_logits(path, ids)) < 1e-5
    longer = random_ids(300)
    assert distance(logits(path, longer, 512), their_logits(path, longer)) > 1e-2


def test_what_follows_changes_nothing(stretched):
    path = stretched(dual_chunk_attention_config=CHUNKS)
    ids = random_ids(400)
    whole = logits(path, ids, 512)
    for length in (95, 144, 145, 399):
        assert distance(logits(path, ids[:length], 512), whole[:length]) < 1e-5


def test_bfloat16_stays_near(stretched):
    path = stretched(dual_chunk_attention_config=CHUNKS)
    ids = random_ids(300)
    assert distance(logits(path, ids, 512, "bfloat16"), logits(path, ids, 512)) < 0.05


@pytest.mark.parametrize("num_tokens", [60, 250])
def test_yarn_equals_transformers(stretched, num_tokens):
    path = stretched(rope_scaling=YARN, max_position_embeddings=64)
    config = load_config(path)
    assert (config.native_window, config.window) == (64, 256)
    ids = random_ids(num_tokens)
    assert distance(logits(path, ids, 100), their_logits(path, ids)) < 1e-4


def test_a_prompt_may_be_as_long_as_the_model_is_stretched(stretched):
    path = stretched(dual_chunk_attention_config=CHUNKS)
    engine = load_engine(path, numerics="float32", window=1500)
    assert engine.window == 1500
    assert len(list(engine.generate(random_ids(1400), max_tokens=5))) == 5
