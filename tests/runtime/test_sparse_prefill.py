"""Sparse prefill in the whole engine, on a tiny random model."""

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.runtime.loading import load_engine
from longctx.runtime.sight import Sight

EVERYTHING = "blocks:max_keys=1000000000,mass=1.0,dense_below=0"
LITTLE = "blocks:max_keys=256,mass=0.9,sinks=1,window=2,dense_below=256"
LEAST = "blocks:max_keys=64,mass=0.1,sinks=1,window=1,dense_below=0"


@pytest.fixture(scope="module")
def directory(tiny_model_dir):
    return tiny_model_dir("qwen2")


def random_ids(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


def engine_of(directory, attention="dense", step_size=2048, **sight):
    engine = load_engine(directory, numerics="float32", sight=Sight(attention, **sight))
    engine.step_size = step_size
    return engine


@torch.inference_mode()
def logits(engine, ids, question=None):
    return engine._prefill(ids, question, lambda done, total: None)


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("num_tokens", [1, 127, 128, 700, 1111])
def test_with_all_blocks_it_is_dense(directory, num_tokens):
    ids = random_ids(num_tokens)
    sparse = logits(engine_of(directory, EVERYTHING), ids)
    assert distance(sparse, logits(engine_of(directory), ids)) < 1e-5


def test_with_few_blocks_it_is_not(directory):
    ids = random_ids(1500)
    sparse = logits(engine_of(directory, LITTLE), ids)
    assert distance(sparse, logits(engine_of(directory), ids)) > 1e-4


@pytest.mark.parametrize("step_size", [128, 200, 512, 1000])
@pytest.mark.parametrize("question", [None, 1203, 1280])
def test_the_step_size_does_not_matter(directory, step_size, question):
    ids = random_ids(1300)
    whole = logits(engine_of(directory, LITTLE), ids, question)
    assert distance(logits(engine_of(directory, LITTLE, step_size), ids, question), whole) < 1e-5


def test_a_kept_prefix_changes_nothing(directory):
    engine, prefix = engine_of(directory, LITTLE), random_ids(1200)
    for seed, question in ((1, 1200), (2, 1200), (3, 1100), (3, 1200), (4, None)):
        ids = prefix + random_ids(40 + seed, seed=seed)
        fresh = logits(engine_of(directory, LITTLE), ids, question)
        assert distance(logits(engine, ids, question), fresh) < 1e-5


def test_a_kept_prefix_is_read_once(directory):
    engine, prefix = engine_of(directory, LITTLE), random_ids(1200)
    read = []
    for seed in (1, 2):
        ids = prefix + random_ids(50, seed=seed)
        list(
            engine.generate(
                ids,
                max_tokens=1,
                question_start=1200,
                on_progress=lambda done, total: read.append(done),
            )
        )
    assert read[0] == 0
    # the second prompt begins with the question
    assert 1200 in read[read.index(1250) + 1 :][:1] or read[read.index(1250) + 2] >= 1200


def test_the_question_sees_everything(directory):
    """A prompt that is all question is dense."""
    ids = random_ids(900)
    sparse = engine_of(directory, LEAST)
    assert distance(logits(sparse, ids, 0), logits(engine_of(directory), ids)) < 1e-5
    assert distance(logits(sparse, ids), logits(engine_of(directory), ids)) > 1e-3


def test_what_follows_changes_nothing_up_to_the_last_whole_tile(directory):
    ids = random_ids(1024)
    engine = engine_of(directory, LITTLE)
    logits(engine, ids + random_ids(300, seed=5))
    longer = [keys[:, :1024].clone() for keys in engine.reader.cache.keys]
    logits(other := engine_of(directory, LITTLE), ids)
    for one, two in zip(longer, other.reader.cache.keys, strict=True):
        torch.testing.assert_close(one, two[:, :1024])


def test_means_of_blocks_survive_truncation(directory):
    engine = engine_of(directory, LITTLE)
    logits(engine, random_ids(700))
    logits(engine, random_ids(300) + random_ids(400, seed=9))
    cache = engine.reader.cache
    for keys, means in zip(cache.keys, cache.means, strict=True):
        whole = keys[:, :640].unflatten(1, (10, 64)).mean(2)
        torch.testing.assert_close(means[:, :10], whole)


def test_it_is_asked_for_by_name(directory):
    assert engine_of(directory, "blocks").reader.decoder.rule == BlockRule()
    assert engine_of(directory).reader.decoder.rule is None
