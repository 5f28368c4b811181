"""What the path for a GPU has read is kept on the disk and found again, in Triton's interpreter."""

from dataclasses import replace

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk
from longctx.runtime.config import load_config
from longctx.runtime.device_reader import DeviceReader
from longctx.runtime.device_weights import to_device
from longctx.runtime.engine import Engine
from longctx.runtime.host_reader import HostReader
from longctx.runtime.loading import load_engine, origin_of
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_keeper import PrefixKeeper
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight
from longctx.runtime.weights import open_weights

NUMBERS = DualChunk(384, 128, 200)
LITTLE = BlockRule(max_keys=128, mass=0.9, sinks=1, window=1, dense_below=128)
PREFIX = 300


@pytest.fixture
def away(monkeypatch):
    """Has all runs of a KVCache pass through the memory of the host, as those of a GPU do."""
    monkeypatch.setattr("longctx.runtime.node_memory._is_away", lambda run: True)


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 500, (count,), generator=generator).tolist()


def reader_of(directory, kind=DeviceReader, *, name="float32", kv8=False, rule=LITTLE):
    config, weights = load_config(directory), open_weights(directory)
    numerics = replace(choose_numerics("float32"), name=name, kv8=kv8)
    place = torch.device("cpu"), torch.float32
    placed = to_device(config, weights, *place, fp8=name == "fp8", kv8=kv8)
    return kind(config, placed, numerics, 400, reach=NUMBERS, rule=rule, decode_rule=LITTLE)


@torch.inference_mode()
def read(directory, store, seed, *, kind=DeviceReader, notices=None, **given):
    """Returns the logits after a question on the prefix, and how many tokens were not read."""
    reader, told = reader_of(directory, kind, **given), []
    on_notice = (lambda text: None) if notices is None else notices.append
    keeper = store and PrefixKeeper(store, origin_of(reader, directory), reader.cache, on_notice)
    with Engine(reader, 256, keeper) as engine:
        ids = ids_of(PREFIX) + ids_of(9, seed)
        logits = engine._prefill(ids, PREFIX, lambda done, total: told.append(done))
    return logits.clone(), told[0]


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {}),
        ({"kv8": True}, {"kv8": True}),
        ({"kind": HostReader}, {}),
        ({}, {"kind": HostReader}),
    ],
    ids=["the same", "8 bits", "from the host", "to the host"],
)
def test_what_was_read_is_not_read_again(tiny_model_dir, store, first, then):
    directory, notices = tiny_model_dir("qwen2"), []
    _, started = read(directory, store, 1, **first, notices=notices)
    assert started == 0
    expected, _ = read(directory, None, 2, **then)
    got, started = read(directory, store, 2, **then, notices=notices)
    assert (started, notices) == (PREFIX, [])
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_what_is_read_otherwise_is_not_mixed_up(tiny_model_dir):
    directory = tiny_model_dir("qwen2", head_dim=64)
    on_cpu = own_reader(
        load_config(directory), directory, 100, choose_numerics("float32"), Sight()
    ).settings
    given = ({}, {"kv8": True}, {"name": "fp8"}, {"rule": None})
    found = {reader_of(directory, **one).settings for one in given}
    assert len(found | {on_cpu}) == 5
    assert reader_of(directory, HostReader).settings == reader_of(directory).settings


def test_the_engine_of_a_gpu_has_a_store(tiny_model_dir, store, monkeypatch):
    directory = tiny_model_dir("qwen2")
    reader = reader_of(directory)
    monkeypatch.setattr("longctx.runtime.loading.check_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(
        "longctx.runtime.device_engine.open_device_reader", lambda *given, **named: reader
    )
    with load_engine(directory, device="cuda", prefixes=store) as engine:
        assert engine.keeper is not None and engine.step_size == 32_768
        list(engine.generate(ids_of(40), max_tokens=1, question_start=30))
    assert [prefix.facts.end for prefix in store.prefixes()] == [30]
    with load_engine(directory, device="cuda") as engine:
        assert engine.keeper is None
