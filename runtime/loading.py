"""Loading: from the directory of a model to the Engine that runs it, here or on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from longctx.kernels.compiled import compile_choices, compile_loops
from longctx.runtime.accelerator import check_device
from longctx.runtime.config import foreign_reason, load_config
from longctx.runtime.engine import Engine
from longctx.runtime.errors import ModelError
from longctx.runtime.narrow_weights import keeping_of
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_keeper import Origin, PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import DecoderReader, own_reader
from longctx.runtime.sight import Sight
from longctx.runtime.store import model_at

if TYPE_CHECKING:
    from longctx.runtime.device_reader import DeviceReader


def load_engine(
    directory: Path,
    *,
    window: int | None = None,
    numerics: str = "auto",
    kv8: bool = False,
    num_threads: int | None = None,
    sight: Sight | None = None,
    device: str = "cpu",
    prefixes: PrefixStore | None = None,
    label: str = "",
    on_notice: Callable[[str], None] = lambda text: None,
) -> Engine:
    """Returns an Engine for the model in `directory`, in Hugging Face layout.

    `window` is the room for prompt and answer in tokens, the model's native window unless given.
    With `kv8` keys and values are kept in 8 bits.
    `sight` says what tokens attend to, everything within the model's own window unless given.
    `device` is "cpu" or "cuda". With `prefixes`, what was read in earlier runs is not read again,
    and what is read now is kept under `label` until the Engine is closed. `on_notice` is told, in a
    sentence, when the model has to run through transformers, when loops are compiled for the first
    time, when tuned Quotas are used, and when nothing more can be kept.

    Raises:
        ModelError: the files are missing or malformed, or no such `numerics`, `sight` or `device`.
        OutOfMemory: the GPU is too small.
    """
    place = check_device(device)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    sight = sight or Sight()
    if place.type == "cuda" and numerics == "fp8":
        # a model that runs through transformers does so on the CPU
        chosen = choose_numerics("auto", kv8=kv8)
    else:
        chosen = choose_numerics(numerics, kv8=kv8)
    reason = foreign_reason(directory)
    if reason is not None:
        from longctx.runtime.foreign import load_foreign_reader

        if sight != Sight() or kv8:
            raise ModelError(
                f"{directory.name} runs through transformers ({reason}): it attends densely, "
                "within its own window, and keeps keys and values as they are",
                "leave out --attention, --decoding, --extend, --fidelity and --kv8",
            )
        where = " and on the CPU" if place.type == "cuda" else ""
        on_notice(f"{directory.name} runs through transformers{where}, dense and slower: {reason}")
        return Engine(load_foreign_reader(directory, window, chosen))
    config = load_config(directory)
    if place.type == "cuda":
        from longctx.runtime.device_engine import open_device_reader
        from longctx.runtime.device_reader import STEP_SIZE as DEVICE_STEP_SIZE

        on_gpu = open_device_reader(
            config, directory, place, window, numerics, sight, on_notice, kv8=kv8
        )
        keeper = _keeper(on_gpu, directory, prefixes, label, on_notice)
        return Engine(on_gpu, DEVICE_STEP_SIZE, keeper)
    if chosen.dtype == torch.bfloat16:
        compile_loops(on_notice, kv8=kv8)
    narrow = keeping_of(directory, chosen, prefixes, on_notice)
    reader = own_reader(config, directory, window, chosen, sight, narrow, on_notice)
    if reader.decoder.rule or reader.decoder.decode_rule:
        compile_choices(on_notice)
    if reader.decoder.narrowed:
        # now, and not between the prompt and the answer
        reader.decoder.narrowed.prepare()
    # the means of values that stand in for Blocks are not stored
    if reader.decoder.has_stand_ins:
        prefixes = None
    return Engine(reader, keeper=_keeper(reader, directory, prefixes, label, on_notice))


def _keeper(
    reader: DecoderReader | DeviceReader,
    directory: Path,
    prefixes: PrefixStore | None,
    label: str,
    on_notice: Callable[[str], None],
) -> PrefixKeeper | None:
    """Returns what keeps the keys and values of a Reader, where there is a store for them."""
    if prefixes is None:
        return None
    return PrefixKeeper(prefixes, origin_of(reader, directory, label), reader.cache, on_notice)


def origin_of(reader: DecoderReader | DeviceReader, directory: Path, label: str = "") -> Origin:
    """Returns what the keys and values of a Reader over the model in `directory` come from."""
    files = model_at(directory)
    return Origin(files.digest, reader.settings, files.name, label)
