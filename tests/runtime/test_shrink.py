"""What was read in bfloat16 is found by a run in 8 bits, once it was brought to them."""

import errno
import os
import shutil
import stat

import numpy as np
import pytest
import torch

from longctx.kernels.flash import has_flash
from longctx.kernels.rope import angles, rotate
from longctx.runtime import prefix_settings
from longctx.runtime.errors import ModelError
from longctx.runtime.loading import load_engine
from longctx.runtime.prefix_node import Facts, check_node, read_facts
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.shrink import Shrunk, shrink
from longctx.runtime.sight import Sight

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")

END = 2_500
CHUNKS = {"chunk_size": 448, "local_size": 64, "original_max_position_embeddings": 448}


@pytest.fixture(scope="module")
def qwen2(biased_model_dir):
    return biased_model_dir()


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


def open_engine(directory, store, *, kv8=True, numerics="bfloat16", notices=None, **sight):
    return load_engine(
        directory,
        window=4_000,
        numerics=numerics,
        kv8=kv8,
        prefixes=store,
        label="a test",
        sight=Sight(**sight),
        on_notice=(lambda text: None) if notices is None else notices.append,
    )


@torch.inference_mode()
def read(directory, store, ids, question=END, **settings):
    """Returns the logits after the prompt, and how many of its tokens were not read."""
    told = []
    with open_engine(directory, store, **settings) as engine:
        logits = engine._prefill(ids, question, lambda done, total: told.append(done))
    return logits.clone(), told[0]


def prefix_of(store, *, eight=False):
    (found,) = (one for one in store.prefixes() if ("'8 bits'" in one.facts.settings) == eight)
    return found


def contents(store):
    return {path.name: path.read_bytes() for path in store.directory.iterdir()}


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("qwen2", {}),
        ("qwen2", {"dual_chunk_attention_config": CHUNKS}),
        ("llama", {}),
        ("qwen3", {"attention_bias": True}),
    ],
    ids=["biased", "biased-chunks", "no-bias", "normed"],
)
def test_codes_are_those_of_rows_without_the_bias(biased_model_dir, store, kind, more):
    directory, ids = biased_model_dir(kind, **more), ids_of(END) + ids_of(9, 1)
    read(directory, store, ids, kv8=False)
    assert not shrink(store, prefix_of(store), directory).problem
    caches = []
    for kv8 in (False, True):
        engine = open_engine(directory, store, kv8=kv8)
        assert engine.keeper.restore(np.array(ids), END, 0) == END
        caches.append(engine.reader.cache)
    was, now = caches
    decoder = engine.reader.decoder
    turn = angles(decoder.frequencies, decoder.reach.key_positions(torch.arange(END)))
    assert any(bias.any() for bias in decoder.key_biases) == (kind == "qwen2")
    for layer, bias in enumerate(decoder.key_biases):
        turned = rotate(bias.expand(END, *bias.shape), *turn).transpose(0, 1)
        eight = now.eights[layer]
        for rows, codes, scales in (
            (was.keys[layer][:, :END].float() - turned, now.keys[layer], eight.key_scales),
            (was.values[layer][:, :END].float(), now.values[layer], eight.value_scales),
        ):
            steps = rows.abs().amax(-1) / 127
            torch.testing.assert_close(scales[:, :END], steps, atol=1e-6, rtol=1e-4)
            off = (codes[:, :END] - torch.floor(rows / steps[..., None] + 0.5)).abs()
            # the bias is turned in two rotations there, and in one here
            assert off.max() <= 1 and (off > 0).float().mean() < 1e-3
        whole = now.until(layer, END)[0].float()
        means = whole[:, : END - END % 64].unflatten(1, (-1, 64)).mean(2)
        torch.testing.assert_close(now.means[layer][:, : END // 64], means, atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "numerics", "sight"),
    [
        ("qwen2", "bfloat16", {}),
        ("qwen2", "narrow", {"attention": "blocks:max_keys=512,dense_below=512"}),
        ("llama", "bfloat16", {"extend": "yarn"}),
        ("llama", "narrow", {"extend": "dca"}),
    ],
)
def test_a_run_in_8_bits_reads_only_the_question(
    biased_model_dir, tmp_path, store, kind, numerics, sight
):
    directory, ids = biased_model_dir(kind), ids_of(END) + ids_of(20, 1)
    settings = {"numerics": numerics, **sight}
    exact, _ = read(directory, None, ids, numerics="float32", kv8=False, **sight)
    in_16, _ = read(directory, store, ids, kv8=False, **settings)
    native, _ = read(directory, None, ids, **settings)
    done = shrink(store, prefix_of(store), tmp_path)
    assert (done.num_nodes, done.num_tokens, done.num_there, done.problem) == (3, END, 0, "")
    assert done.bytes_after < 0.6 * done.bytes_before
    notices = []
    converted, kept = read(directory, store, ids, notices=notices, **settings)
    assert kept == END
    assert len([text for text in notices if "2,500 tokens of the prompt were read in" in text]) == 1
    # both roundings are in it, and nothing else
    off_16, off_8 = distance(in_16, exact), distance(native, exact)
    assert distance(converted, exact) < 1.1 * max(off_16, off_8)
    assert distance(converted, native) < (off_16**2 + off_8**2) ** 0.5
    # what was read in bfloat16 is as it was
    again, kept = read(directory, store, ids, kv8=False, **settings)
    assert kept == END
    torch.testing.assert_close(again, in_16, rtol=0, atol=0)


def test_a_second_time_nothing_is_left_to_do(qwen2, tmp_path, store):
    read(qwen2, store, ids_of(END) + [7], kv8=False)
    prefix = prefix_of(store)
    heard = []
    done = shrink(store, prefix, tmp_path, advance=lambda *report: heard.append(report))
    assert heard == [(0, 3), (1, 3), (2, 3)]
    before = contents(store)
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()} == {0o600}
    assert shrink(store, prefix, tmp_path) == Shrunk(num_there=3)
    eight = prefix_of(store, eight=True)
    assert shrink(store, eight, tmp_path) == Shrunk(num_there=3)
    assert contents(store) == before
    assert eight.facts == Facts(
        name=eight.facts.name,
        parent=eight.facts.parent,
        start=2_048,
        end=END,
        num_bytes=eight.facts.num_bytes,
        model=prefix.facts.model,
        settings=eight.facts.settings,
        label="a test",
        seconds=prefix.facts.seconds,
        made_of=prefix.facts.name,
        converted=END,
    )
    assert sum(read_facts(store._path(name)).num_bytes for name in eight.names) == done.bytes_after
    # the oldest file is the end of a chain: nodes go from there
    times = [store._path(name).stat().st_mtime_ns for name in eight.names]
    assert times == sorted(times)


def test_what_was_read_in_8_bits_stays(qwen2, tmp_path, store):
    ids = ids_of(END)
    read(qwen2, store, ids[:1_100] + [7], 1_100)
    native = contents(store)
    read(qwen2, store, [*ids, 7], kv8=False)
    done = shrink(store, prefix_of(store), tmp_path)
    assert (done.num_nodes, done.num_there) == (2, 1)
    assert native.items() <= contents(store).items()
    notices = []
    assert read(qwen2, store, [*ids, 7], notices=notices)[1] == END
    assert any("1,476 tokens of the prompt" in text for text in notices)
    notices.clear()
    read(qwen2, store, ids[:1_100] + [7], 1_100, notices=notices)
    assert not any("of the prompt" in text for text in notices)


def test_what_is_read_after_converted_tokens_says_so_too(qwen2, tmp_path, store):
    ids, other = ids_of(3_300), ids_of(1_600, 5)
    read(qwen2, store, [*ids[:2_048], 7], 2_048, kv8=False)
    shrink(store, prefix_of(store), tmp_path, replaces=True)
    notices = []
    with open_engine(qwen2, store, notices=notices) as engine, torch.inference_mode():

        def prefill(ids):
            engine._prefill([*ids, 7], len(ids), lambda done, total: None)

        prefill(ids)
        prefill(other)
        # 1,536 tokens of the converted ones are still there, and then other ones follow
        prefill(ids)
        prefill(ids[:1_600] + other[:900])
    assert len([text for text in notices if "of the prompt" in text]) == 1

    def converted(end):
        (found,) = (one for one in store.prefixes() if one.facts.end == end)
        return [read_facts(store._path(name)).converted for name in found.names]

    assert converted(3_300) == [2_048, 2_048, 2_048, 1_024]
    assert converted(1_600) == [0, 0]
    assert converted(2_500) == [1_536, 1_536, 1_024]
    notices.clear()
    read(qwen2, store, [*ids, 7], 3_300, notices=notices)
    assert any("2,048 tokens of the prompt" in text for text in notices)


def test_what_is_replaced_goes_but_for_what_another_shares(qwen2, tmp_path, store):
    ids = ids_of(END)
    read(qwen2, store, [*ids, 7], kv8=False)
    first = prefix_of(store)
    branch = ids[:1_500] + ids_of(301, 3)
    read(qwen2, store, branch, 1_800, kv8=False)
    second = next(one for one in store.prefixes() if one.facts.end == 1_800)
    last_two = first.num_bytes - store._path(first.names[-1]).stat().st_size
    assert shrink(store, first, tmp_path, replaces=True).freed_bytes == last_two
    assert {one.facts.name for one in store.prefixes()} >= {second.facts.name}
    assert not store._path(first.facts.name).exists()
    assert read(qwen2, store, branch, 1_800, kv8=False)[1] == 1_800
    shrink(store, second, tmp_path, replaces=True)
    assert all("'8 bits'" in one.facts.settings for one in store.prefixes())
    assert read(qwen2, store, [*ids, 7])[1] == END
    assert store.verify() == []


def test_originals_that_an_interrupted_replacement_left_go_later(qwen2, tmp_path, store):
    read(qwen2, store, ids_of(END) + [7], kv8=False)
    first = prefix_of(store)
    shrink(store, first, tmp_path)
    store.remove(first.names[:1])
    done = shrink(store, prefix_of(store, eight=True), tmp_path, replaces=True)
    assert done.freed_bytes > 10**6
    assert len(list(store.directory.iterdir())) == 3


def test_what_no_run_could_use_is_left_alone(qwen2, biased_model_dir, tmp_path, monkeypatch):
    own = tmp_path / "own"
    shutil.copytree(qwen2, own)
    store = PrefixStore(tmp_path / "prefixes", 10**9)
    read(own, store, ids_of(1_500), 1_400, kv8=False)
    prefix = prefix_of(store)

    def problem(prefix=prefix):
        before = contents(store)
        done = shrink(store, prefix, tmp_path, replaces=True)
        assert done == Shrunk(problem=done.problem)
        assert contents(store) == before
        return done.problem

    with monkeypatch.context() as patched:
        patched.setattr(prefix_settings, "code_digest", lambda: "other")
        assert "another version" in problem()
    moved = own.rename(tmp_path / "moved")
    assert problem().startswith(f"there is no model '{own}'")
    moved.rename(own)
    with (own / "config.json").open("a") as file:
        file.write(" ")
    assert "is not what it was" in problem()
    read(qwen2, store, ids_of(1_500, 1), 1_400, kv8=False, numerics="float32")
    assert "in float32, expected bfloat16" in problem(store.prefixes()[0])
    store.remove(prefix.names[1:])
    assert "its beginning is gone" in problem()


def test_a_model_of_other_sizes_is_left_alone(tiny_model_dir, tmp_path, store):
    read(tiny_model_dir("qwen2"), store, ids_of(1_500), 1_400, kv8=False)
    done = shrink(store, prefix_of(store), tmp_path)
    assert "heads of 16" in done.problem
    assert done == Shrunk(problem=done.problem)


def test_a_damaged_node_ends_it_and_replaces_nothing(qwen2, tmp_path, store):
    read(qwen2, store, ids_of(END) + [7], kv8=False)
    prefix = prefix_of(store)
    path = store._path(prefix.names[1])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = shrink(store, prefix, tmp_path, replaces=True)
    assert (done.num_nodes, done.freed_bytes) == (1, 0)
    assert "a node of it was damaged" in done.problem
    assert store._path(prefix.names[2]).exists()
    # one that was made and damaged since is made again
    store._path(prefix_of(store, eight=True).names[0]).write_bytes(b"torn")
    assert shrink(store, prefix, tmp_path).num_nodes == 1
    # and nothing is replaced by one that is damaged
    path = store._path(prefix_of(store, eight=True).names[0])
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    done = shrink(store, prefix_of(store, eight=True), tmp_path, replaces=True)
    assert done == Shrunk(problem=done.problem) != Shrunk()
    assert store._path(prefix.names[2]).exists()


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_a_full_disk_ends_it_with_what_was_made(qwen2, tmp_path, store, monkeypatch, call):
    read(qwen2, store, ids_of(END) + [7], kv8=False)
    prefix, real = prefix_of(store), getattr(os, call)
    left = [60 if call == "write" else 2]

    def fill(*args):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    with monkeypatch.context() as patched, pytest.raises(ModelError) as caught:
        patched.setattr(os, call, fill)
        shrink(store, prefix, tmp_path, replaces=True)
    assert str(caught.value) == f"{store.directory}: the disk is full"
    assert caught.value.exit_code == 5
    assert store.verify() == []
    done = shrink(store, prefix, tmp_path)
    assert done.num_there >= 1 and done.num_nodes + done.num_there == 3
    assert not list(store.directory.glob(".draft-*"))


def test_a_limit_ends_it_before_anything_else_goes(qwen2, tmp_path, store):
    read(qwen2, store, ids_of(1_500, 2), 1_400, kv8=False)
    read(qwen2, store, ids_of(END) + [7], kv8=False)
    prefix, other = store.prefixes()
    narrow = PrefixStore(store.directory, store.num_bytes() + prefix.num_bytes // 3)
    with pytest.raises(ModelError, match="leaves no room") as caught:
        shrink(narrow, prefix, tmp_path, replaces=True)
    assert "LONGCTX_CACHE_BYTES" in caught.value.hint
    there = {name for one in store.prefixes() for name in one.names}
    assert there > {*prefix.names, *other.names}
    for name in there:
        check_node(store._path(name))
