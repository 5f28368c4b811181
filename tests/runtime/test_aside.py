"""A short prompt between two of a long text, whose tokens are put aside and brought back."""

import pytest
import torch

from longctx.kernels.flash import has_flash
from longctx.runtime.loading import load_engine
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.proofreading import proofread
from longctx.runtime.sight import Sight
from longctx.runtime.writing import Request

FEW = "blocks:max_keys=256,mass=1.0,dense_below=256,window=2"


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


DOCUMENTS, SHORT = ids_of(1_300), ids_of(90, seed=1)
QUESTIONS = [DOCUMENTS + ids_of(20, seed=2), DOCUMENTS + ids_of(31, seed=3)]


def answered(engine, ids, max_tokens=12):
    start = len(DOCUMENTS) if len(ids) > len(DOCUMENTS) else None
    return list(engine.generate(ids, max_tokens=max_tokens, question_start=start))


WAYS = {
    "float32": {"numerics": "float32"},
    "mixed": {"numerics": "mixed"},
    "chunks": {"numerics": "float32", "sight": Sight("dense", extend="dca", window=4_096)},
    "blocks": {"numerics": "bfloat16", "sight": Sight(FEW)},
    "stand-ins": {"numerics": "float32", "sight": Sight(f"{FEW},stand_ins=2")},
    "kv8": {"numerics": "bfloat16", "kv8": True, "sight": Sight(FEW)},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_long_text_is_not_read_again(tiny_model_dir, biased_model_dir, way, steps_of):
    if way == "kv8" and not has_flash():
        pytest.skip("this processor has no form of `flash`")
    directory = biased_model_dir() if way == "kv8" else tiny_model_dir("qwen2")
    prompts = [QUESTIONS[0], SHORT, QUESTIONS[1]]
    fresh = [answered(load_engine(directory, **WAYS[way]), ids) for ids in prompts]
    engine = load_engine(directory, **WAYS[way])
    sizes = steps_of(engine)
    assert [answered(engine, ids) for ids in prompts] == fresh
    short, again = sizes.index(len(SHORT)), sum(sizes[sizes.index(len(SHORT)) + 1 :])
    assert sum(sizes[:short]) == len(QUESTIONS[0])
    # the rows of a torn tile are read again with it
    assert 31 <= again <= 31 + engine._grid


def test_choices_and_several_short_prompts_may_stand_between(tiny_model_dir, steps_of):
    directory = tiny_model_dir("qwen2")
    engine = load_engine(directory, numerics="float32")
    expected = [answered(engine, ids) for ids in QUESTIONS]
    other = ids_of(70, seed=4)
    chances = load_engine(directory, numerics="float32").choose(other, [[3], [5, 7]])
    sizes = steps_of(engine)
    assert answered(engine, SHORT)
    assert engine.choose(other, [[3], [5, 7]]) == pytest.approx(chances, abs=1e-6)
    assert answered(engine, QUESTIONS[0]) == expected[0]
    assert sizes == [90, 70, 20]


def test_what_is_longer_than_what_was_put_aside_is_read_over_it(tiny_model_dir, steps_of):
    directory = tiny_model_dir("qwen2")
    engine = load_engine(directory, numerics="float32")
    expected = [answered(engine, ids) for ids in QUESTIONS]
    longer = ids_of(600, seed=5)
    sizes = steps_of(engine)
    assert answered(engine, SHORT)
    assert answered(engine, longer) == answered(load_engine(directory, numerics="float32"), longer)
    assert answered(engine, QUESTIONS[1]) == expected[1]
    assert sizes == [90, 600, 1_300, 31]


def test_answers_side_by_side_are_written_over_it(tiny_model_dir):
    directory = tiny_model_dir("qwen2")
    engine = load_engine(directory, window=4_096, numerics="narrow")
    expected = [answered(engine, ids) for ids in QUESTIONS]
    assert answered(engine, SHORT)
    both = engine.generate_each([Request(ids, 8) for ids in (SHORT, SHORT[:60] + [7, 8])])
    assert all([list(ids) for ids in both])
    assert answered(engine, QUESTIONS[1]) == expected[1]


def test_with_a_store_it_is_brought_back_from_memory(tiny_model_dir, tmp_path, steps_of):
    directory = tiny_model_dir("qwen2")
    fresh = [answered(load_engine(directory, numerics="float32"), ids) for ids in QUESTIONS]
    store = PrefixStore(tmp_path / "prefixes")
    with load_engine(directory, numerics="float32", prefixes=store) as engine:
        assert answered(engine, QUESTIONS[0]) == fresh[0]
        assert answered(engine, SHORT)
        sizes = steps_of(engine)
        assert answered(engine, QUESTIONS[1]) == fresh[1]
        assert sum(sizes) < 31 + engine._grid
    with load_engine(directory, numerics="float32", prefixes=store) as engine:
        assert engine.num_stored(QUESTIONS[1], len(DOCUMENTS)) == len(DOCUMENTS)
        assert answered(engine, QUESTIONS[1]) == fresh[1]


def test_what_is_read_with_a_lent_reader_spoils_neither_answers_nor_the_store(
    tiny_model_dir, tmp_path
):
    directory = tiny_model_dir("qwen2")
    fresh = [answered(load_engine(directory, numerics="float32"), ids) for ids in QUESTIONS]
    store = PrefixStore(tmp_path / "prefixes")
    other = ids_of(50, seed=6)
    with load_engine(directory, numerics="float32", prefixes=store) as engine:
        for expected, ids in zip(fresh, QUESTIONS, strict=True):
            assert answered(engine, ids) == expected
            # what is put aside is not to come back over what the other reads
            assert answered(engine, SHORT)
            proofread(engine.lend(), other, [0.0] * len(other))
    with load_engine(directory, numerics="float32", prefixes=store) as engine:
        assert engine.num_stored(QUESTIONS[1], len(DOCUMENTS)) == len(DOCUMENTS)
        assert answered(engine, QUESTIONS[1]) == fresh[1]


@pytest.mark.parametrize(("most", "is_read_again"), [(101, True), (102, False)])
def test_a_prompt_of_many_tokens_is_not_worth_a_copy(
    tiny_model_dir, steps_of, monkeypatch, most, is_read_again
):
    # that of the short one and its answer: 90 tokens and 12
    monkeypatch.setattr("longctx.runtime.engine.MOST_ASIDE", most)
    engine = load_engine(tiny_model_dir("qwen2"), numerics="float32")
    answered(engine, QUESTIONS[0])
    sizes = steps_of(engine)
    answered(engine, SHORT)
    answered(engine, QUESTIONS[1])
    assert sizes == ([90, 1_300, 31] if is_read_again else [90, 31])
