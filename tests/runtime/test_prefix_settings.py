"""The settings of a run in 8 bits can be told from those of the same run in bfloat16."""

import pytest

from longctx.kernels.flash import has_flash
from longctx.runtime.config import load_config
from longctx.runtime.extension import extend, extensions
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_settings import (
    are_eight_bits,
    are_of_here,
    config_of,
    dtype_of,
    in_eight_bits,
)
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight

needs_flash = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")


def settings(directory, numerics, *, kv8=False, **sight):
    config, chosen = load_config(directory), choose_numerics(numerics, kv8=kv8)
    return own_reader(config, directory, 100, chosen, Sight(**sight)).settings


@needs_flash
@pytest.mark.parametrize("numerics", ["bfloat16", "narrow", "int4"])
@pytest.mark.parametrize(
    "sight",
    [
        {},
        {"attention": "blocks:max_keys=512"},
        {"extend": "dca"},
        {"extend": "yarn", "window": 20_000},
    ],
    ids=["dense", "blocks", "dca", "yarn"],
)
def test_they_differ_in_what_is_kept_and_in_nothing_else(tiny_model_dir, numerics, sight):
    directory = tiny_model_dir("qwen2", head_dim=64)
    plain, eight = (settings(directory, numerics, kv8=kv8, **sight) for kv8 in (False, True))
    assert in_eight_bits(plain) == eight
    assert (are_eight_bits(plain), are_eight_bits(eight)) == (False, True)
    assert dtype_of(plain) == dtype_of(eight) == "bfloat16"
    assert are_of_here(plain) and are_of_here(eight)
    config = load_config(directory)
    wanted = extend(config, sight.get("extend", "none"), sight.get("window"))
    assert config_of(plain, extensions(config)) == wanted


def test_other_settings_are_told_apart(tiny_model_dir, monkeypatch):
    directory = tiny_model_dir("qwen2")
    found = settings(directory, "float32")
    assert dtype_of(found) == "float32"
    assert config_of(found, extensions(load_config(tiny_model_dir("llama")))) is None
    monkeypatch.setattr("torch.__version__", "1.0")
    assert not are_of_here(found)
    assert are_of_here(settings(directory, "float32"))
