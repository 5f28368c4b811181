import pytest
import torch

from longctx.runtime.config import load_config
from longctx.runtime.errors import OutOfMemory
from longctx.runtime.kv_cache import KVCache
from longctx.runtime.memory import MemoryPlan, available_bytes, gib, plan_memory
from longctx.runtime.numerics import Numerics


def plan(directory, num_tokens, dtype):
    numerics = Numerics("test", dtype, "stored")
    config = load_config(directory)
    return plan_memory(config, directory, num_tokens, step_size=512, numerics=numerics)


def test_the_cache_grows_with_the_tokens_and_the_workspace_does_not(tiny_model_dir):
    directory = tiny_model_dir("qwen2")
    short, long = plan(directory, 1024, torch.float32), plan(directory, 9024, torch.float32)
    config = load_config(directory)
    cache = KVCache(config, 9024, torch.float32)
    held = [*cache.keys, *cache.values, *cache.means]
    assert long.cache_bytes == sum(t.numel() * t.element_size() for t in held)
    # one mean for 64 keys, and as many values without one
    assert (
        long.cache_bytes - short.cache_bytes == 8000 * config.cache_bytes_per_token(4) * 129 / 128
    )
    assert long.workspace_bytes == short.workspace_bytes
    assert long.peak_bytes - short.peak_bytes == long.cache_bytes - short.cache_bytes


def test_what_does_not_fit_is_refused_with_both_numbers():
    tight = MemoryPlan(2**30, 3 * 2**30, 5 * 2**30, 2**30, available_bytes=9 * 2**30)
    with pytest.raises(OutOfMemory, match=r"10\.0 GiB at its peak .* 9\.0 GiB are free") as refusal:
        tight.check()
    assert "--window" in refusal.value.hint
    MemoryPlan(2**30, 3 * 2**30, 5 * 2**30, 0, available_bytes=9 * 2**30).check()


def test_there_is_some_memory():
    assert 2**26 < available_bytes() < 2**50
    assert gib(3 * 2**29) == "1.5 GiB"
