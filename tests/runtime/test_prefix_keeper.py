"""What was read in one process is not read again in the next, and the answers are the same."""

import os
import shutil
import stat

import numpy as np
import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.engine import Engine
from longctx.runtime.loading import load_engine, origin_of
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_chain import NODE
from longctx.runtime.prefix_keeper import PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight

SPARSE = "blocks:max_keys=256,mass=0.9,sinks=1,window=2,dense_below=256"


@pytest.fixture
def directory(roomy_model_dir):
    return roomy_model_dir


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


def open_engine(directory, store, *, numerics="float32", rule="dense", notices=None):
    config, sight = load_config(directory), Sight(attention=rule)
    reader = own_reader(config, directory, None, choose_numerics(numerics), sight)
    if store is None:
        return Engine(reader)
    on_notice = (lambda text: None) if notices is None else notices.append
    origin = origin_of(reader, directory, "a test")
    return Engine(reader, keeper=PrefixKeeper(store, origin, reader.cache, on_notice))


@torch.inference_mode()
def read(engine, ids, question=None):
    """Returns the logits after the prompt, and how many of its tokens were not read."""
    told = []
    logits = engine._prefill(ids, question, lambda done, total: told.append(done))
    return logits.clone(), told[0]


def read_in_a_new_process(directory, store, ids, question=None, **settings):
    with open_engine(directory, store, **settings) as engine:
        return read(engine, ids, question)


@pytest.mark.parametrize(
    ("numerics", "rule", "end"),
    [
        ("float32", "dense", 60),
        ("float32", "dense", 1_024),
        ("mixed", "dense", 1_025),
        ("mixed", SPARSE, 3_333),
        ("bfloat16", "dense", 2_047),
        ("bfloat16", SPARSE, 2_100),
    ],
)
def test_a_restored_prefix_gives_the_same_bits(directory, store, numerics, rule, end):
    prefix, settings = ids_of(end), {"numerics": numerics, "rule": rule}
    for seed, stored in ((1, 0), (2, end)):
        ids = prefix + ids_of(20 + seed, seed)
        expected, _ = read_in_a_new_process(directory, None, ids, end, **settings)
        got, kept = read_in_a_new_process(directory, store, ids, end, **settings)
        assert kept == stored
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("common", [700, 2_048, 2_500])
def test_the_common_beginning_of_two_prompts_is_found_to_the_node(directory, store, common):
    first = ids_of(3_000) + ids_of(9, 8)
    second = first[:common] + ids_of(3_100 - common, 4) + ids_of(11, 9)
    read_in_a_new_process(directory, store, first, 3_000)
    expected, _ = read_in_a_new_process(directory, None, second, 3_100)
    got, kept = read_in_a_new_process(directory, store, second, 3_100)
    assert kept == common - common % NODE
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_whole_nodes_serve_at_any_length_and_split(directory, store):
    ids = ids_of(5_000)
    read_in_a_new_process(directory, store, ids, 4_500)
    for total, question, stored in (
        (5_000, 4_200, 4_096),
        (2_048, None, 1_536),
        (2_100, None, 2_048),
    ):
        expected, _ = read_in_a_new_process(directory, None, ids[:total], question)
        got, kept = read_in_a_new_process(directory, store, ids[:total], question)
        assert kept == stored
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("rule", ["dense", SPARSE], ids=["dense", "sparse"])
def test_prompts_in_any_order_on_one_engine_give_the_same_bits(directory, store, rule):
    base = ids_of(2_500)
    asked = [
        (base + ids_of(30, 1), 2_500),
        (base + ids_of(31, 2), 2_500),
        (base[:1_600] + ids_of(40, 3), 1_600),
        (base[:1_100] + ids_of(1_050, 4), 2_100),
        (base + ids_of(30, 1), 2_400),
        (base[:700] + ids_of(900, 5), None),
    ]
    with open_engine(directory, store, rule=rule) as engine:
        for ids, question in asked:
            expected, _ = read_in_a_new_process(directory, None, ids, question, rule=rule)
            got, _ = read(engine, ids, question)
            # an answer lies in the cache when the next prompt comes
            for token in (3, 5, 7):
                engine._step([token])
            torch.testing.assert_close(got, expected, rtol=0, atol=0)
    for ids, question in asked:
        expected, _ = read_in_a_new_process(directory, None, ids, question, rule=rule)
        got, kept = read_in_a_new_process(directory, store, ids, question, rule=rule)
        assert kept >= (question or len(ids)) - NODE - 511
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert store.verify() == []


def test_greedy_answers_are_equal_token_by_token(directory, store):
    ids = ids_of(2_500)
    fresh = list(open_engine(directory, None).generate(ids, max_tokens=24, question_start=2_450))
    for _ in range(2):
        with open_engine(directory, store) as engine:
            assert list(engine.generate(ids, max_tokens=24, question_start=2_450)) == fresh


def test_another_model_or_another_setting_finds_nothing(directory, store, tmp_path):
    ids = ids_of(1_100)
    read_in_a_new_process(directory, store, ids, 1_050)
    other = tmp_path / "other"
    shutil.copytree(directory, other)
    os.utime(other / "model.safetensors", (1, 1))
    for changed in (
        {"directory": other},
        {"numerics": "bfloat16"},
        {"numerics": "int8"},
        {"rule": SPARSE},
        {"rule": "blocks:max_keys=512"},
    ):
        settings = {"directory": directory} | changed
        with open_engine(settings.pop("directory"), store, **settings) as engine:
            assert read(engine, ids, 1_050)[1] == 0


def test_how_numerics_were_chosen_does_not_matter(directory):
    chosen = choose_numerics("auto")
    config = load_config(directory)

    def settings(item):
        return own_reader(config, directory, None, item, Sight()).settings

    assert settings(chosen) == settings(choose_numerics(chosen.name))
    # what tokens of an answer meet does not matter: answers are not stored
    same = settings(chosen) == settings(choose_numerics("int4"))
    assert same == (chosen.reading != "narrow")


@pytest.mark.parametrize("done", [900, 2_049])
def test_an_interrupted_reading_goes_on_at_the_last_whole_step(directory, store, done):
    ids = ids_of(4_500)
    expected, _ = read_in_a_new_process(directory, None, ids, 4_400)

    def interrupt(now, total):
        if now >= done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_engine(directory, store) as engine:
        list(engine.generate(ids, max_tokens=1, question_start=4_400, on_progress=interrupt))
    got, kept = read_in_a_new_process(directory, store, ids, 4_400)
    assert kept == done - done % 2_048
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_the_answer_and_the_question_are_not_stored(directory, store):
    with open_engine(directory, store) as engine:
        list(engine.generate(ids_of(2_500), max_tokens=8, question_start=300))
    (prefix,) = store.prefixes()
    assert (prefix.facts.start, prefix.facts.end) == (0, 300)


def test_files_are_for_the_user_only(directory, store):
    read_in_a_new_process(directory, store, ids_of(1_100), 1_050)
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert modes == {0o600}


def test_what_is_overwritten_was_written_before(directory, store, monkeypatch):
    """A slow disk: the next prompt waits for what it would overwrite, and for nothing else."""
    import threading

    release, save = threading.Event(), store.save

    def slow(*args, **kwargs):
        assert release.wait(60)
        save(*args, **kwargs)

    monkeypatch.setattr(store, "save", slow)
    ids, other = ids_of(3_000), ids_of(3_000, 5)
    with open_engine(directory, store) as engine:
        read(engine, ids, 2_900)
        read(engine, ids[:2_900] + ids_of(50, 3), 2_900)
        threading.Timer(0.2, release.set).start()
        read(engine, other, 2_900)
    for tokens in (ids, other):
        expected, _ = read_in_a_new_process(directory, None, tokens, 2_900)
        got, kept = read_in_a_new_process(directory, store, tokens, 2_900)
        assert kept == 2_900
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_a_damaged_node_is_dropped_and_read_again(directory, store):
    ids = ids_of(4_000)
    expected, _ = read_in_a_new_process(directory, store, ids, 3_900)
    engine = open_engine(directory, store)
    second = engine.keeper.links(np.array(ids), 3_900)[1]
    path = store.directory / f"{second.name}.kv"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    with engine:
        got, kept = read(engine, ids, 3_900)
    assert kept == NODE
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    got, kept = read_in_a_new_process(directory, store, ids, 3_900)
    assert kept == 3_900
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_a_full_disk_costs_one_notice(directory, store, monkeypatch):
    notices, ids = [], ids_of(4_000)
    expected, _ = read_in_a_new_process(directory, None, ids, 3_900)

    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, open_engine(directory, store, notices=notices) as engine:
        patched.setattr("longctx.runtime.prefix_node.os.write", full)
        got, _ = read(engine, ids, 3_900)
        read(engine, ids_of(3_000, 2), 2_900)
        engine.close()
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert notices == ["what is read from here on is not stored: No space left on device"]
    assert list(store.directory.iterdir()) == []


def test_a_limit_that_leaves_no_room_costs_one_notice(directory, tmp_path):
    notices, store = [], PrefixStore(tmp_path / "small", 1_000_000)
    with open_engine(directory, store, notices=notices) as engine:
        read(engine, ids_of(4_000), 3_900)
    assert len(notices) == 1
    assert "the limit of 0.0 GB leaves no room" in notices[0]
    assert store.num_bytes() <= 1_000_000


def test_foreign_models_are_read_without_a_store(tiny_model_dir, store):
    with load_engine(tiny_model_dir("gpt_neox"), numerics="float32", prefixes=store) as engine:
        assert len(list(engine.generate(ids_of(1_200), max_tokens=2))) == 2
    assert not store.directory.exists()
