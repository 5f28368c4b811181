import re
import sys
from pathlib import Path

import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.kv_cache import _LARGE_BYTES, KVCache
from longctx.runtime.node_memory import NodeMemory


@pytest.fixture
def cache(tiny_model_dir):
    return KVCache(load_config(tiny_model_dir("qwen2")), 100, torch.float32)


def test_what_is_written_is_read_in_place(cache):
    groups, _, head_dim = cache.keys[1].shape
    keys, values = torch.randn(2, 30, groups, head_dim)
    cache.write(1, 0, keys[:20], values[:20])
    cache.write(1, 20, keys[20:], values[20:])
    got_keys, got_values = cache.until(1, 30)
    torch.testing.assert_close(got_keys, keys.transpose(0, 1))
    torch.testing.assert_close(got_values, values.transpose(0, 1))
    assert got_keys.data_ptr() == cache.keys[1].data_ptr()


def test_writing_over_the_room_or_over_what_is_read_is_our_mistake(cache):
    groups, _, head_dim = cache.keys[0].shape
    rows = torch.randn(11, groups, head_dim)
    with pytest.raises(AssertionError):
        cache.write(0, 90, rows, rows)
    cache.length = 50
    with pytest.raises(AssertionError):
        cache.write(0, 49, rows, rows)
    cache.truncate(49)
    cache.write(0, 49, rows, rows)
    with pytest.raises(AssertionError):
        cache.truncate(60)


@pytest.mark.parametrize("away", [False, True], ids=["in place", "by way of the host"])
def test_memory_of_a_node_is_that_of_its_tokens_and_blocks(tiny_model_dir, monkeypatch, away):
    monkeypatch.setattr("longctx.runtime.node_memory._is_away", lambda run: away)
    config = load_config(tiny_model_dir("qwen2"))
    one, two = (KVCache(config, 300, torch.bfloat16) for _ in range(2))
    for tensor in (*one.keys, *one.values, *one.means):
        tensor.normal_()
    for start, end in ((0, 128), (128, 200), (200, 210), (210, 300)):
        source, target = (NodeMemory(cache.runs(start, end)) for cache in (one, two))
        source.fetch()
        for read, written in zip(source.buffers, target.buffers, strict=True):
            written[:] = read
        target.bring()
    for ours, theirs in zip(one.keys + one.values, two.keys + two.values, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for ours, theirs in zip(one.means, two.means, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    # no Block ends in these
    per_token = config.cache_bytes_per_token(2)
    assert sum(map(len, NodeMemory(one.runs(200, 210)).buffers)) == 10 * per_token


def advised(tensor):
    """Whether the system was asked for large pages where the middle of a tensor lies."""
    place, inside = tensor.data_ptr() + tensor.nbytes // 2, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(found[1], 16) <= place < int(found[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return "hg" in line.split()
    raise AssertionError("the tensor is nowhere")


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are asked for on Linux")
def test_large_rooms_lie_in_large_pages(tiny_model_dir):
    if not Path("/sys/kernel/mm/transparent_hugepage/enabled").is_file():
        pytest.skip("this system has no large pages")
    config = load_config(tiny_model_dir("qwen2"))
    large = -(_LARGE_BYTES // -(2 * config.num_kv_heads * config.head_dim))
    cache = KVCache(config, large, torch.bfloat16)
    assert {advised(one) for one in (*cache.keys, *cache.values)} == {True}


def test_small_rooms_ask_for_nothing(tiny_model_dir, monkeypatch):
    config = load_config(tiny_model_dir("qwen2"))

    def fail(*args):
        raise AssertionError(args)

    monkeypatch.setattr("longctx.runtime.kv_cache.ctypes.CDLL", fail)
    assert KVCache(config, 1_000, torch.bfloat16).capacity == 1_000
