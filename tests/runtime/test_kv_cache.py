import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.kv_cache import KVCache


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
