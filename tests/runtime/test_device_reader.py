"""The path for a GPU, in Triton's interpreter on a CPU, against the decoder for CPUs."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import TILE
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.accelerator import UNTRIED, check_device, gpu_facts
from longctx.runtime.config import ModelConfig, load_config
from longctx.runtime.decoder import build_decoder
from longctx.runtime.device_engine import open_device_reader
from longctx.runtime.device_memory import Place, find_place, host_bytes, planned_bytes
from longctx.runtime.device_reader import DeviceReader
from longctx.runtime.device_weights import to_device
from longctx.runtime.engine import Engine
from longctx.runtime.errors import ModelError, OutOfMemory
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.reader import DecoderReader
from longctx.runtime.sight import Sight
from longctx.runtime.store import model_at
from longctx.runtime.tuned import Tuned, TunedHead, write_tuned
from longctx.runtime.weights import open_weights

NUMBERS = DualChunk(384, 128, 200)
LITTLE = BlockRule(max_keys=128, mass=0.9, sinks=1, window=1, dense_below=128)


def readers(directory, reach, rule, capacity, fp8=False, kv8=False):
    config, weights = load_config(directory), open_weights(directory)
    numerics = choose_numerics("float32")
    decoder = replace(build_decoder(config, weights, numerics, rule=rule), reach=reach)
    placed = to_device(config, weights, torch.device("cpu"), torch.float32, fp8=fp8, kv8=kv8)
    ours = replace(numerics, kv8=kv8)
    device = DeviceReader(config, placed, ours, capacity, reach=reach, rule=rule)
    return DecoderReader(decoder, capacity), device


def random_ids(count):
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 500, (count,), generator=generator)


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize(
    ("kind", "reach", "rule", "steps"),
    [
        ("qwen2", Plain(), None, (17, 1)),
        ("qwen3", Plain(), None, (9, 3)),
        ("qwen2", NUMBERS, LITTLE, (528,)),
    ],
    ids=["qwen2", "qwen3", "long"],
)
@torch.inference_mode()
def test_logits_equal_those_of_the_decoder(tiny_model_dir, kind, reach, rule, steps):
    theirs, ours = readers(tiny_model_dir(kind), reach, rule, sum(steps) + 5)
    for size in steps:
        ids = random_ids(size)
        parts = []
        expected = theirs.read(ids, lambda part: None, dense=size < 128)
        got = ours.read(ids, parts.append, dense=size < 128)
        assert distance(got, expected) < 1e-5
        assert parts[-1] == 1 and got.device.type == "cpu"
    for name in ("keys", "values", "means"):
        length = sum(steps) // 64 if name == "means" else sum(steps)
        pairs = zip(getattr(ours.cache, name), getattr(theirs.cache, name), strict=True)
        for mine, other in pairs:
            torch.testing.assert_close(mine[:, :length], other[:, :length], atol=2e-4, rtol=1e-4)


@torch.inference_mode()
def test_columns_and_diagonals_that_leave_nothing_out_are_dense_attention(tiny_model_dir):
    everything = VerticalSlashRule(vertical=1, slash=10**6, dense_below=0)
    theirs, ours = readers(tiny_model_dir("qwen2"), NUMBERS, everything, 256)
    ids = random_ids(256)
    expected = theirs.read(ids, lambda part: None, dense=True)
    assert ours.grid == 8_192
    ours.grid = TILE
    assert distance(ours.read(ids, lambda part: None, dense=False), expected) < 1e-5
    ours.truncate(TILE)
    ours.rule = replace(everything, sinks=1, slash=0, window=1)
    assert distance(ours.read(ids[TILE:], lambda part: None, dense=False), expected) > 1e-3


@torch.inference_mode()
def test_written_tokens_choose_their_blocks_as_those_of_the_decoder_do(tiny_model_dir):
    theirs, ours = readers(tiny_model_dir("qwen2"), NUMBERS, None, 540)
    theirs.decoder = replace(theirs.decoder, decode_rule=LITTLE)
    ours.decode_rule = LITTLE
    ids = random_ids(531)
    for reader in (theirs, ours):
        reader.read(ids[:528], lambda part: None, dense=True)
    for token in ids[528:].split(1):
        got, expected = ours.decode(token), theirs.decode(token)
        assert got.shape == expected.shape and distance(got, expected) < 1e-5
    ours.truncate(528)
    ours.decode_rule = None
    assert distance(ours.decode(ids[528:529]), expected) > 1e-3


@torch.inference_mode()
def test_several_tokens_of_an_answer_are_read_at_once(tiny_model_dir, monkeypatch):
    theirs, ours = readers(tiny_model_dir("qwen2"), NUMBERS, None, 270)
    assert ours.most_rows == 8
    in_eight_bits = replace(ours.numerics, kv8=True)
    assert ours.config.num_heads == 2 * ours.config.num_kv_heads
    with monkeypatch.context() as patched:
        patched.setattr(ours, "numerics", in_eight_bits)
        assert ours.most_rows == 8
        patched.setattr(ours, "config", replace(ours.config, num_heads=40))
        assert ours.most_rows == 1
        patched.setattr(ours, "decode_rule", LITTLE)
        assert ours.most_rows == 1
    pieces, read = [], ours.piece
    monkeypatch.setattr(ours, "piece", lambda *given: pieces.append(len(given[0])) or read(*given))
    ids = random_ids(270)
    for reader in (theirs, ours):
        reader.read(ids[:230], lambda part: None, dense=True)
    # fewer than at once, as many, over the end of a Chunk, alone, and where the room ends
    for begin, end in ((230, 235), (235, 243), (243, 248), (248, 254), (254, 255), (265, 270)):
        for reader in (theirs, ours):
            reader.truncate(min(reader.cache.length, begin))
            if begin > reader.cache.length:
                reader.read(ids[255:265], lambda part: None, dense=True)
        pieces.clear()
        got, expected = ours.decode(ids[begin:end]), theirs.decode(ids[begin:end])
        assert got.shape == expected.shape and distance(got, expected) < 1e-5
        assert pieces == ([8] if begin in (230, 235, 243, 248) else [1] * (end - begin))
        assert ours.cache.length == end


def test_an_answer_that_repeats_its_prompt_is_read_ahead(tiny_model_dir):
    theirs, ours = (Engine(one) for one in readers(tiny_model_dir("qwen2"), Plain(), None, 140))
    # what the model goes on with is put where it will be looked for
    ids = random_ids(20).tolist()
    said = list(theirs.generate(ids, max_tokens=24))
    prompt = ids + said + ids
    expected = list(theirs.generate(prompt, max_tokens=24))
    assert list(ours.generate(prompt, max_tokens=24)) == expected
    assert ours.num_guessed > 0


@pytest.mark.parametrize("kind", ["fp8", "kv8"])
@torch.inference_mode()
def test_weights_or_cache_in_8_bits_are_near(tiny_model_dir, kind):
    theirs, ours = readers(tiny_model_dir("qwen2"), Plain(), None, 9, **{kind: True})
    ids = random_ids(5)
    expected = theirs.read(ids, lambda part: None, dense=True)
    error = distance(ours.read(ids, lambda part: None, dense=True), expected)
    assert 1e-5 < error < (0.2 if kind == "fp8" else 0.02), error


def test_an_engine_writes_the_same_tokens_and_keeps_its_prefix(tiny_model_dir):
    theirs, ours = readers(tiny_model_dir("qwen2"), Plain(), None, 20)
    ids = random_ids(12).tolist()
    for prompt in (ids, ids[:9] + ids[:3]):
        expected = list(Engine(theirs).generate(prompt, max_tokens=2))
        assert list(Engine(ours).generate(prompt, max_tokens=2)) == expected


def test_keys_and_values_go_where_they_fit(monkeypatch):
    # the shape of Qwen2.5-14B-Instruct-1M
    config = ModelConfig(
        "qwen2", 48, 5120, 13_824, 40, 8, 128, 152_064, 1e-5, 1e7, dual_chunk=(262_144, 8_192)
    )
    h200, a100 = 139 * 2**30, 80 * 2**30
    assert find_place(config, 500_000, h200) is Place.whole
    assert find_place(config, 1_000_000, h200) is Place.eight
    monkeypatch.setattr("longctx.runtime.device_memory.available_bytes", lambda: 256 * 2**30)
    assert find_place(config, 1_000_000, a100, near=16_384) is Place.host
    # 8 GB for two layers' keys and values, 3 for the means and 3 for what is near
    assert 14e9 < host_bytes(config, 1_000_000, 16_384)[1] < 15e9
    # 183 GiB of keys and values take 192
    monkeypatch.setattr("longctx.runtime.device_memory.available_bytes", lambda: 191 * 2**30)
    with pytest.raises(OutOfMemory, match="cache in 8 bits 9[0-9].* GiB.*; 80.0 GiB are free"):
        find_place(config, 1_000_000, a100, near=16_384)
    weights, cache, _ = planned_bytes(config, 1_000_000)
    # 14.77 billion parameters, 192 KiB a token and a 64th for the means
    assert abs(weights / 2 - 14.77e9) < 0.01e9
    assert cache == 1_000_000 * (192 + 3) * 1024


def test_a_device_that_cannot_be_used_is_refused(monkeypatch):
    assert check_device("cpu").type == "cpu"
    with pytest.raises(ModelError, match="'tpu' is not one of cpu, cuda"):
        check_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="no GPU can be used: torch finds no CUDA device"):
        check_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old One")
    with pytest.raises(ModelError, match="Old One has compute capability 7.5, expected 8.0"):
        check_device("cuda")


def test_tuned_quotas_are_left_out_with_a_notice(tiny_model_dir, tmp_path, monkeypatch):
    directory = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
    head = TunedHead(640, 0.9, 0.5, 0.9)
    digest = model_at(directory).digest
    facts = (digest, "blocks", "none", "auto", 1_024, 0.9, 0.1, 2, "today", 1.0, 2.0)
    write_tuned(directory, Tuned(*facts, layers=((head, head),) * 3))
    rules, notices = [], []

    def load(config, weights, device, capacity, rule, on_notice, **given):
        rules.append(rule)
        return DeviceReader.__new__(DeviceReader)

    monkeypatch.setattr("longctx.runtime.device_engine.load_device_reader", load)
    config = load_config(directory)
    place = torch.device("cpu"), 1_024, "auto", Sight("blocks")
    open_device_reader(config, directory, *place, notices.append)
    assert rules == [BlockRule()]
    assert notices == ["tuned quotas are not for a GPU: all heads get the same"]


def test_columns_and_diagonals_have_the_published_budgets(tiny_model_dir, tmp_path, monkeypatch):
    directory = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
    config = load_config(directory)
    head = ["vertical_and_slash", 500, 700, 0.9]
    layer = {str(number): head for number in range(config.num_heads)}
    published = directory / "sparse_attention_config.json"
    published.write_text(json.dumps([layer] * config.num_layers))
    rules = []
    monkeypatch.setattr(
        "longctx.runtime.device_engine.load_device_reader",
        lambda config, weights, device, capacity, rule, *given, **named: rules.append(rule),
    )
    place = torch.device("cpu"), 1_024, "auto", Sight("vertical-slash:dense_below=0")
    open_device_reader(config, directory, *place, print)
    quotas = [[(500, 700)] * config.num_heads] * config.num_layers
    assert rules == [VerticalSlashRule(dense_below=0, quotas=quotas)]


def test_what_is_said_of_the_gpu_path_is_what_was_measured(request):
    results = (request.config.rootpath / "tests/bench/results").glob("gpu*.json")
    reports = {path.name: json.loads(path.read_text()) for path in results}
    measured = [name for name, report in reports.items() if report.get("device")]
    checked = {kind for report in reports.values() for kind in report.get("errors", ())}
    assert not checked & UNTRIED.keys()
    assert all(f"not yet run on a GPU: {what}" in gpu_facts() for what in UNTRIED.values())
    if measured:
        assert any(f"measured: {name}" in gpu_facts() for name in measured)
    else:
        assert "GPU path: never run on a GPU" in gpu_facts()
