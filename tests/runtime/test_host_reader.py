"""Keys and values on the host, in Triton's interpreter on a CPU, against those on the device."""

import pytest
import torch

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.triton_attention import Lists
from longctx.kernels.triton_gather import gather_blocks
from longctx.runtime.config import load_config
from longctx.runtime.device_engine import load_device_reader
from longctx.runtime.device_memory import Place
from longctx.runtime.device_reader import DeviceReader
from longctx.runtime.device_weights import to_device
from longctx.runtime.host_reader import HostReader
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.sight import ANSWER_KEYS, ANSWER_MASS, DENSE_BELOW
from longctx.runtime.weights import open_weights

NUMBERS = DualChunk(384, 128, 200)
LITTLE = BlockRule(max_keys=192, mass=0.9, sinks=1, window=1, dense_below=128)


def readers(directory, capacity, rule=LITTLE, decode_rule=LITTLE):
    config, weights = load_config(directory), open_weights(directory)
    numerics = choose_numerics("float32")
    placed = to_device(config, weights, torch.device("cpu"), torch.float32)
    given = {"reach": NUMBERS, "rule": rule, "decode_rule": decode_rule}
    return [
        kind(config, placed, numerics, capacity, **given) for kind in (DeviceReader, HostReader)
    ]


def random_ids(count):
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 500, (count,), generator=generator)


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_prompt_and_its_answer_are_the_same_from_the_host(tiny_model_dir):
    plain, host = readers(tiny_model_dir("qwen2"), 520)
    # whole tiles by Blocks, then rows that see everything, a single one, and an answer over the
    # end of a Block, of a tile and of a Chunk
    for size, dense in ((384, False), (125, True), (1, True)):
        ids = random_ids(size)
        expected = plain.read(ids, lambda part: None, dense=dense)
        close(host.read(ids, lambda part: None, dense=dense), expected)
    for token in random_ids(4).split(1):
        close(host.decode(token), plain.decode(token))
    assert host.cache.length == plain.cache.length == 514
    for name in ("keys", "values", "means"):
        length = 514 // 64 if name == "means" else 514
        pairs = zip(getattr(host.cache, name), getattr(plain.cache, name), strict=True)
        for mine, other in pairs:
            close(mine[:, :length], other[:, :length])


@torch.inference_mode()
def test_what_was_forgotten_is_not_seen_again(tiny_model_dir):
    plain, host = readers(tiny_model_dir("qwen2"), 300)
    for reader in (plain, host):
        reader.read(random_ids(256), lambda part: None, dense=False)
        reader.decode(random_ids(3))
        reader.truncate(258)
    more = random_ids(2)
    close(host.decode(more), plain.decode(more))
    for reader in (plain, host):
        reader.truncate(128)
    again = random_ids(140)
    expected = plain.read(again, lambda part: None, dense=True)
    close(host.read(again, lambda part: None, dense=True), expected)
    close(host.decode(more), plain.decode(more))


@torch.inference_mode()
def test_more_blocks_may_be_forced_than_chosen(tiny_model_dir):
    forced = BlockRule(max_keys=64, mass=0.9, sinks=1, window=6, dense_below=0)
    plain, host = readers(tiny_model_dir("qwen2"), 700, decode_rule=forced)
    for reader in (plain, host):
        reader.read(random_ids(641), lambda part: None, dense=False)
    (token,) = random_ids(1).split(1)
    close(host.decode(token), plain.decode(token))


def test_blocks_are_gathered_side_by_side():
    keys, values = torch.randn(2, 2, 640, 32)
    index = torch.tensor([[[0, 3, 9, -1], [2, -1, -1, -1]]], dtype=torch.int32)
    ends = torch.tensor([[[1, 2, 3], [0, 0, 1]]], dtype=torch.int32)
    near = torch.zeros(2, 2, 256, 32)
    lists = gather_blocks(keys, values, *near, Lists(index, ends))
    for group, blocks in enumerate(([0, 3, 9], [2])):
        for place, block in enumerate(blocks):
            for source, target in zip((keys, values), near, strict=True):
                found = target[group, place * 64 : (place + 1) * 64]
                assert torch.equal(found, source[group, block * 64 : (block + 1) * 64])
    assert lists.index[0, 1].tolist() == [0, 1, 2, 3]
    assert torch.equal(lists.ends, ends)


@pytest.mark.parametrize("chooses", [True, False])
def test_where_the_device_is_too_small_it_is_said_and_the_host_is_taken(
    tiny_model_dir, monkeypatch, chooses
):
    directory, notices = tiny_model_dir("qwen2"), []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 2**30))
    monkeypatch.setattr(
        "longctx.runtime.device_engine.find_place", lambda *given, **named: Place.host
    )
    reader = load_device_reader(
        load_config(directory),
        open_weights(directory),
        torch.device("cpu"),
        256,
        None,
        notices.append,
        decode_rule=LITTLE if chooses else None,
        kv8=True,
    )
    assert isinstance(reader, HostReader)
    assert notices[0].startswith("keys and values are kept in the memory of the host: else they")
    assert [notice.startswith("so answers see 16,384 keys") for notice in notices[1:]] == (
        [] if chooses else [True]
    )
    usual = BlockRule(ANSWER_KEYS, ANSWER_MASS, dense_below=DENSE_BELOW)
    assert reader.decode_rule == (LITTLE if chooses else usual)
