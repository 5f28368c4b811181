import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.kv_cache import KVCache
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
