"""Quotas tuned on a tiny random model: found, confirmed, kept, gone on with, used, refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.flash import BLOCK
from longctx.kernels.quotas import NO_MASS
from longctx.runtime.config import load_config
from longctx.runtime.errors import ModelError
from longctx.runtime.loading import load_engine, origin_of
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight, prefill_rule
from longctx.runtime.store import model_at
from longctx.runtime.tune import Target, tune
from longctx.runtime.tune_records import Sample, TuneRecords
from longctx.runtime.tuned import find_tuned, tuned_path

LENGTH = 4_096
START = "blocks:max_keys=512,mass=0.9,sinks=1,window=2,dense_below=512"
TARGET = Target(LENGTH, 0.6, START, numerics="float32")


@pytest.fixture
def directory(roomy_model_dir, tmp_path):
    return shutil.copytree(roomy_model_dir, tmp_path / "model")


@pytest.fixture(scope="module")
def tuned_model(roomy_model_dir, tmp_path_factory):
    """A directory with a tuned model, the file beside it, and what it holds."""
    path = shutil.copytree(roomy_model_dir, tmp_path_factory.mktemp("tuned") / "model")
    return path, *tune(path, ids_of(LENGTH), TARGET)


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


def facts_of(path):
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "date"}


def test_heads_that_are_short_get_more(tuned_model):
    directory, path, tuned = tuned_model
    assert path == directory / f"tuned-blocks-{LENGTH}.json" == tuned_path(directory, LENGTH)
    assert sorted(directory.glob("*tuned*")) == [path], "something is left over"
    heads = list(tuned.heads)
    assert [(layer, head) for layer, head, _ in heads] == [
        (layer, head) for layer in range(3) for head in range(2)
    ]
    short = [one for _, _, one in heads if one.recall_before < tuned.fidelity]
    assert short and tuned.passes in (2, 3)
    for one in short:
        assert one.max_keys > 512 or one.mass == NO_MASS
        assert one.recall > one.recall_before
    # one pass finds what is enough, up to what changes in the layers below
    assert all(one.recall > tuned.fidelity - 0.02 for _, _, one in heads)
    assert tuned.keys > tuned.keys_before > 0
    assert (tuned.model, tuned.length, tuned.fidelity) == (model_at(directory).digest, LENGTH, 0.6)
    assert path.stat().st_size < 4_000


def test_the_text_is_read_no_more_often_than_asked(directory, tuned_model):
    _, once = tune(directory, ids_of(LENGTH), replace(TARGET, passes=1))
    assert once.passes == 1 and {one.max_keys for _, _, one in once.heads} == {512}
    firsts = [one.recall_before for _, _, one in tuned_model[2].heads]
    assert [one.recall for _, _, one in once.heads] == firsts


def test_rows_of_the_second_half_are_measured(directory):
    """Half of all tokens, and those that need most: what early rows need says little of them."""

    def stop(phase, done, total):
        if phase.startswith("pass 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(directory, ids_of(LENGTH), TARGET, on_progress=stop)
    lines = (directory / f"tuned-blocks-{LENGTH}.partial").read_text().splitlines()
    steps = [json.loads(line) for line in lines[1:]]
    assert [(step["start"], step["end"]) for step in steps] == [
        (at, at + 2_048) for at in range(0, LENGTH, 2_048)
    ]
    assert [len(step["samples"]) for step in steps] == [0, 3 * 16]


def test_heads_with_plenty_get_less(directory):
    everything = "blocks:max_keys=8192,mass=2,sinks=1,window=2,dense_below=512"
    _, tuned = tune(directory, ids_of(LENGTH), replace(TARGET, attention=everything))
    for _, _, one in tuned.heads:
        assert one.recall_before > 0.999 and 16 * BLOCK <= one.max_keys < 8_192
        # half of what may be lost is kept in hand
        assert one.recall > 0.78
    assert tuned.keys < tuned.keys_before


def test_a_text_that_is_served_is_read_once(directory):
    _, tuned = tune(
        directory, ids_of(2_048), replace(TARGET, length=2_048, fidelity=0.01, attention=START)
    )
    assert tuned.passes == 1 and tuned.keys == tuned.keys_before
    assert {(one.max_keys, one.mass) for _, _, one in tuned.heads} == {(512, 0.9)}
    assert all(one.recall == one.recall_before for _, _, one in tuned.heads)


@pytest.mark.parametrize("stop_at", [(1, 2_048), (2, 2_048)])
@pytest.mark.parametrize("stored", [True, False])
def test_an_interrupted_run_goes_on(directory, tuned_model, tmp_path, stop_at, stored):
    store = PrefixStore(tmp_path / "prefixes", 10**9) if stored else None

    def stop(phase, done, total):
        if phase == f"pass {stop_at[0]} over the text" and done > stop_at[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(directory, ids_of(LENGTH), TARGET, prefixes=store, on_progress=stop)
    partial = directory / f"tuned-blocks-{LENGTH}.partial"
    assert partial.is_file() and not tuned_path(directory, LENGTH).exists()
    told = []
    path, _ = tune(
        directory,
        ids_of(LENGTH),
        TARGET,
        prefixes=store,
        on_progress=lambda phase, done, total: told.append((phase, done)),
    )
    # no more than one Step is read again where what was read is stored
    assert told[0] == (f"pass {stop_at[0]} over the text", stop_at[1] if stored else 0)
    expected = facts_of(tuned_model[1])
    # a copy is another model to those who go by its files' times
    assert facts_of(path) == expected | {"model": model_at(directory).digest}
    assert not partial.exists()
    assert store is None or store.num_bytes() == 0, "what was read for tuning is kept"


def test_what_others_have_read_is_measured(directory, tuned_model, tmp_path):
    """Nodes of the same text under the same Rule say nothing of what its rows needed."""
    store = PrefixStore(tmp_path / "prefixes", 10**9)
    ids = ids_of(LENGTH)
    sight = Sight(START)
    with load_engine(directory, numerics="float32", sight=sight, prefixes=store) as engine:
        list(engine.generate(ids[:3_000], max_tokens=1))
    assert store.num_bytes()
    path, _ = tune(directory, ids, TARGET, prefixes=store)
    assert facts_of(path)["layers"] == facts_of(tuned_model[1])["layers"]


def test_records_of_another_text_begin_anew(directory, tuned_model):
    def stop(phase, done, total):
        if done > 2_048:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(directory, ids_of(LENGTH, seed=1), TARGET, on_progress=stop)
    notices = []
    path, _ = tune(directory, ids_of(LENGTH), TARGET, on_notice=notices.append)
    assert any("begins anew" in notice for notice in notices)
    assert facts_of(path)["layers"] == facts_of(tuned_model[1])["layers"]


def test_torn_records_count_for_nothing(tmp_path):
    def sample(position):
        return Sample(1, position, (0.5, 1.0), (3,), (4, 5), (True, False), (9, 9), (True, True))

    path, told = tmp_path / "some.partial", {"model": "m"}
    records = TuneRecords(path, told)
    assert not records.is_foreign and records.end(1) == 0
    records.add(1, 0, 10, [sample(4)])
    records.add(1, 10, 20, [sample(14)])
    path.write_text(path.read_text()[:-9])
    again = TuneRecords(path, told)
    assert again.end(1) == 10 and again.samples(1) == [sample(4)]
    again.add(1, 5, 20, [sample(14)])
    again.add(2, 10, 20, [sample(14)])
    last = TuneRecords(path, told)
    assert last.end(1) == 20 and last.samples(1) == [sample(4), sample(14)]
    # what lies behind a gap is not known to be whole
    assert last.end(2) == 0 and last.samples(2) == []
    assert TuneRecords(path, {"model": "other"}).is_foreign
    assert TuneRecords(path, {"model": "other"}).end(1) == 0
    records.remove()
    records.remove()
    assert not path.exists()


def test_an_engine_reads_with_what_was_tuned(tuned_model):
    directory, path, tuned = tuned_model
    notices = []
    sight = Sight("blocks:dense_below=512,sinks=1,window=2")
    engine = load_engine(directory, numerics="float32", sight=sight, on_notice=notices.append)
    assert notices == [f"quotas tuned at {LENGTH:,} tokens are used: {path}"]
    assert engine.reader.decoder.rule.quotas == tuned.quotas
    engine.step_size = 2_048
    list(engine.generate(ids_of(LENGTH - 1), max_tokens=1))
    measured = sorted(engine.meter.recalls)
    assert measured[len(measured) // 10] > 0.55
    # what its own values say is not overruled, and other modes have no such quotas
    for attention in ("blocks:max_keys=512", "blocks:mass=0.5", "tri-shape", "dense"):
        engine = load_engine(directory, numerics="float32", sight=Sight(attention))
        assert getattr(engine.reader.decoder.rule, "quotas", None) is None


def test_what_was_tuned_is_causal(tuned_model):
    """The Step size, what follows and the room for the prompt change nothing."""
    directory, _, _ = tuned_model
    sight, ids = Sight("blocks:dense_below=512,sinks=1,window=2"), ids_of(5_000)
    caches = []
    for end, step_size, room in ((5_000, 2_048, None), (4_000, 640, 4_001)):
        engine = load_engine(directory, numerics="float32", sight=sight, window=room)
        engine.step_size = step_size
        list(engine.generate(ids[:end], max_tokens=1, question_start=end))
        caches.append(engine.reader.cache)
    for one, two in zip(caches[0].keys, caches[1].keys, strict=True):
        torch.testing.assert_close(one[:, :3_968], two[:, :3_968], atol=1e-5, rtol=1e-5)


def test_stored_prefixes_are_named_by_their_quotas(tuned_model, roomy_model_dir, tmp_path):
    directory, path, tuned = tuned_model
    store, ids = PrefixStore(tmp_path / "prefixes", 10**9), ids_of(3_000)
    sight = Sight("blocks:dense_below=512,sinks=1,window=2")

    def read():
        with load_engine(directory, numerics="float32", sight=sight, prefixes=store) as engine:
            found = engine.num_stored(ids, len(ids))
            list(engine.generate(ids, max_tokens=1))
        return found

    assert (read(), read()) == (0, 2_048)
    facts = json.loads(path.read_text())
    kept = path.read_text()
    try:
        facts["layers"][1][1]["max_keys"] += BLOCK
        path.write_text(json.dumps(facts))
        assert (read(), read()) == (0, 2_048)
        path.unlink()
        assert (read(), read()) == (0, 2_048)
    finally:
        path.write_text(kept)
    assert read() == 2_048
    config = load_config(directory)
    reader = own_reader(config, directory, None, choose_numerics("float32"), sight)
    assert tuned.quotas.digest in origin_of(reader, directory).settings


def test_the_file_is_no_part_of_the_model(directory):
    before = model_at(directory).digest
    tuned_path(directory, 4_096).write_text("{}")
    assert model_at(directory).digest == before
    (directory / "other.json").write_text("{}")
    assert model_at(directory).digest != before


def test_the_length_that_is_nearest_to_the_window_is_used(tuned_model, tmp_path):
    directory, path, _ = tuned_model
    copied = shutil.copytree(directory, tmp_path / "model")
    config = load_config(copied)
    facts = json.loads(path.read_text()) | {"model": model_at(copied).digest}
    assert find_tuned(tmp_path, config, LENGTH) is None
    for length in (1_024, 3_072, 30_000):
        facts["length"] = length
        tuned_path(copied, length).write_text(json.dumps(facts))
    tuned_path(copied, LENGTH).unlink()
    for window, length in ((100, 1_024), (3_071, 1_024), (3_072, 3_072), (10**6, 30_000)):
        assert find_tuned(copied, config, window)[1].length == length
    rules = [
        prefill_rule(Sight("blocks", window=window), config, copied) for window in (None, 1_024)
    ]
    assert rules[0] == rules[1], "the same numbers under another length"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no JSON", "cannot be read: JSONDecodeError"),
        ("[1]", "cannot be read"),
        ({"version": 2}, "is of version 2 for 'blocks', expected 1"),
        ({"mode": "tri-shape"}, "is of version 1 for 'tri-shape'"),
        ({"length": 5}, "says it was tuned at 5 tokens, its name another"),
        ({"model": "elsewhere"}, "was made for other weights"),
        ({"more": 1}, "cannot be read: TypeError"),
        ({"layers": []}, "holds 0 heads of 0 layers, expected 2 in each of 3"),
        ("max_keys=3", "max_keys is 3, expected 64 or more"),
        ("max_keys=true", "True is no number"),
        ("mass=NaN", "mass is nan"),
        ('mass="much"', "'much' is no number"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tuned_model, tmp_path, change, said):
    directory, path, _ = tuned_model
    copied = shutil.copytree(directory, tmp_path / "model")
    facts = json.loads(path.read_text()) | {"model": model_at(copied).digest}
    text = change
    if isinstance(change, dict):
        text = json.dumps(facts | change)
    elif "=" in change:
        name, _, value = change.partition("=")
        facts["layers"][2][0][name] = json.loads(value)
        text = json.dumps(facts)
    wrong = copied / path.name
    wrong.write_text(text)
    with pytest.raises(ModelError, match=said) as caught:
        load_engine(copied, numerics="float32", sight=Sight("blocks"))
    assert str(wrong) in str(caught.value) and "delete it" in caught.value.hint
    load_engine(copied, numerics="float32", sight=Sight("dense"))
    load_engine(copied, numerics="float32", sight=Sight("blocks:max_keys=4096"))


def test_a_name_without_a_length_is_named(directory):
    (directory / "tuned-blocks-long.json").write_text("{}")
    with pytest.raises(ModelError, match="has a name that is not tuned-blocks-LENGTH.json"):
        load_engine(directory, numerics="float32", sight=Sight("blocks"))


@pytest.mark.parametrize(
    ("change", "num_tokens", "said"),
    [
        ({}, 3_000, "the text holds 3,000 tokens, expected 4,096"),
        ({"attention": "tri-shape"}, LENGTH, "attention 'tri-shape' cannot be tuned"),
        ({"attention": "blocks:size=3"}, LENGTH, "'size=3' is no value of this attention"),
        ({"fidelity": 0.0}, LENGTH, "fidelity is 0.0, expected above 0 and below 1"),
        ({"fidelity": 1.0}, LENGTH, "fidelity is 1.0"),
        ({"length": 9_000}, 9_000, "the length is 9,000 tokens, the model reads 8,192"),
        ({"length": 600}, 600, "the first 512 of which attend densely"),
        ({"attention": "blocks"}, LENGTH, "the first 8,192 of which attend densely"),
        ({"extend": "stretch"}, LENGTH, "'stretch'"),
        ({"numerics": "int3"}, LENGTH, "numerics 'int3'"),
    ],
)
def test_what_cannot_be_tuned_is_named(directory, change, num_tokens, said):
    with pytest.raises(ModelError, match=said):
        tune(directory, ids_of(num_tokens), replace(TARGET, **change))
    assert not list(directory.glob("tuned*"))


def test_a_foreign_model_is_dense(directory):
    raw = json.loads((directory / "config.json").read_text()) | {"mlp_bias": True}
    (directory / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="runs through transformers"):
        tune(directory, ids_of(LENGTH), TARGET)


def test_a_folder_that_takes_no_files_is_named(directory, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("longctx.runtime.tune.write_tuned", full)
    target = replace(TARGET, length=2_048, fidelity=0.01)
    with pytest.raises(ModelError, match="cannot be kept there: No space left on device"):
        tune(directory, ids_of(2_048), target)


def test_stand_ins_go_with_it(directory):
    target = replace(TARGET, length=2_048, attention=START + ",stand_ins=4")
    _, tuned = tune(directory, ids_of(2_048), target)
    assert tuned.passes >= 1


def test_a_rule_without_a_file_is_the_old_one(directory):
    assert prefill_rule(Sight("blocks"), load_config(directory), directory) == BlockRule()
