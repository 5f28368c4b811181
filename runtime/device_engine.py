"""The Reader of a model on a GPU: what of its Sight the kernels have, and where all of it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from longctx.kernels.blocks import BlockRule
from longctx.kernels.triton_fp8 import has_fp8_products
from longctx.runtime.config import ModelConfig
from longctx.runtime.decoder import build_decoder
from longctx.runtime.device_memory import Place, find_place
from longctx.runtime.device_reader import DeviceReader, DeviceRule
from longctx.runtime.device_weights import to_device
from longctx.runtime.errors import ModelError
from longctx.runtime.extension import extend
from longctx.runtime.host_cache import near_keys
from longctx.runtime.host_reader import HostReader
from longctx.runtime.memory import gib
from longctx.runtime.numerics import ON_GPU, Numerics
from longctx.runtime.sight import (
    ANSWER_KEYS,
    ANSWER_MASS,
    DENSE_BELOW,
    Sight,
    decode_rule,
    prefill_rule,
)
from longctx.runtime.weights import open_weights


def load_device_reader(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    device: torch.device,
    capacity: int,
    rule: DeviceRule | None,
    on_notice: Callable[[str], None],
    *,
    decode_rule: BlockRule | None = None,
    fp8: bool = False,
    kv8: bool = False,
) -> DeviceReader:
    """Returns a DeviceReader of `weights`, in bfloat16, with room for `capacity` tokens.

    Where keys and values of 16 bits do not fit they are kept in 8 without being asked to by `kv8`,
    or else on the host, and `on_notice` is told. With `fp8` the matrices of the layers are rounded
    to 8 bits.

    Raises:
        OutOfMemory: they do not fit anywhere.
    """
    name = "fp8" if fp8 else "bfloat16"
    numerics = Numerics(name, torch.bfloat16, "as read", "what the GPU multiplies fast")
    decoder = build_decoder(config, weights, numerics, rule=rule)
    free, _ = torch.cuda.mem_get_info()
    answers = decode_rule or BlockRule(ANSWER_KEYS, ANSWER_MASS, dense_below=DENSE_BELOW)
    place = find_place(config, capacity, free, fp8=fp8, near=near_keys(answers))
    if place is not Place.whole and not (kv8 and place is Place.eight):
        on_notice(f"keys and values are kept {place}: else they do not fit the {gib(free)} free")
    kv8 = place is Place.eight or (kv8 and place is Place.whole)
    kind: type[DeviceReader] = DeviceReader
    if place is Place.host:
        kind = HostReader
        if decode_rule is None:
            decode_rule = answers
            on_notice(f"so answers see {answers.max_keys:,} keys, which each token chooses")
    placed = to_device(config, weights, device, numerics.dtype, fp8=fp8, kv8=kv8)
    return kind(
        config,
        placed,
        replace(numerics, kv8=kv8),
        capacity,
        reach=decoder.reach,
        rule=rule,
        decode_rule=decode_rule,
    )


def open_device_reader(
    config: ModelConfig,
    directory: Path,
    device: torch.device,
    window: int | None,
    numerics: str,
    sight: Sight,
    on_notice: Callable[[str], None],
    *,
    kv8: bool = False,
) -> DeviceReader:
    """Returns a Reader of the model in `directory` that is on `device`.

    Raises:
        ModelError: numerics or a `sight` that the kernels do not have.
        OutOfMemory: the device is too small.
    """
    if numerics not in ON_GPU:
        raise ModelError(f"numerics {numerics!r} is not for a GPU, expected {', '.join(ON_GPU)}")
    fp8 = numerics == "fp8"
    if fp8 and not has_fp8_products(device):
        raise ModelError("this GPU has no products of 8-bit floats", "leave out --numerics fp8")
    config = extend(config, sight.extend, sight.window)
    capacity = min(window or config.native_window, config.window)
    rule, one_rule = prefill_rule(sight, config, directory), decode_rule(sight, config)
    assert rule is None or isinstance(rule, DeviceRule)
    if isinstance(rule, BlockRule) and rule.quotas is not None:
        on_notice("tuned quotas are not for a GPU: all heads get the same")
        rule = replace(rule, quotas=None)
    for one in (rule, one_rule):
        if not isinstance(one, BlockRule):
            continue
        if one.fidelity is not None or one.stand_ins or one.early_layers:
            raise ModelError(
                "fidelity, stand_ins and early_layers are not for a GPU", "leave them out"
            )
    weights = open_weights(directory)
    return load_device_reader(
        config, weights, device, capacity, rule, on_notice, decode_rule=one_rule, fp8=fp8, kv8=kv8
    )
