"""Sight: what the tokens of a prompt see, how far back, and which of the keys in reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from longctx.kernels.blocks import BlockRule, tri_shape
from longctx.kernels.flash import TILE
from longctx.kernels.sparse import Rule
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import ModelConfig, read_json
from longctx.runtime.errors import ModelError
from longctx.runtime.tuned import find_tuned

ATTENTIONS = ("auto", "dense", "blocks", "vertical-slash", "tri-shape")
DECODINGS = ("auto", "dense", "blocks")

R = TypeVar("R", BlockRule, VerticalSlashRule)

# Tokens before this position see everything, where nobody says which see less.
DENSE_BELOW = 16_384

# Keys and mass of a written token that chooses. One query predicts less well than a tile of them,
# and digits of a number are found one by one: with 4,096 keys the 0.5B lost the last ones at 65,536
# tokens, with 32,768 at 131,072. Means of Blocks hide a single key that has all of a head's mass.
ANSWER_KEYS, ANSWER_MASS = 16_384, 0.999


@dataclass(frozen=True, slots=True)
class Sight:
    """How a model attends.

    `attention` names the mode of the documents, which may be followed by values of its Rule:
    "blocks:max_keys=8192,mass=0.95". `decoding` is the mode of written tokens, `extend` how
    positions go on past the native window, up to `window`. "auto" is "dense", but for the documents
    of a model that is read past its native window, which attend by "blocks" from `DENSE_BELOW` on:
    by the setting, not by the length of a prompt. With `fidelity` tiles of blocks get as many as
    this recall takes. `temperature_length` is for the published rule of Dual Chunk
    Attention, which sharpens all rows by the length of the whole prompt.
    """

    attention: str = "auto"
    decoding: str = "auto"
    extend: str = "none"
    window: int | None = None
    fidelity: float | None = None
    temperature_length: int | None = None


def settled(sight: Sight, config: ModelConfig) -> Sight:
    """Returns the Sight of a model, extended already, with "auto" replaced by what it is."""
    past = config.window > config.native_window
    if past and config.dual_chunk:
        # Blocks are chosen for whole tiles
        past = (config.dual_chunk[0] - config.dual_chunk[1]) % TILE == 0
    auto = f"blocks:dense_below={DENSE_BELOW}" if past else "dense"
    return replace(
        sight,
        attention=auto if sight.attention == "auto" else sight.attention,
        decoding="dense" if sight.decoding == "auto" else sight.decoding,
    )


def prefill_rule(
    sight: Sight,
    config: ModelConfig,
    directory: Path,
    on_notice: Callable[[str], None] = lambda text: None,
) -> Rule | None:
    """Returns the Rule of a prompt's documents, None where they attend densely.

    Blocks have the Quotas that were tuned for the model, unless `max_keys` or `mass` are named;
    `on_notice` is told which.

    Raises:
        ModelError: there is no such mode, a value that its Rule does not have, or what was tuned
            cannot be used.
    """
    sight = settled(sight, config)
    name, _, values = sight.attention.partition(":")
    if name not in ATTENTIONS:
        raise ModelError(f"attention {name!r} is not one of {', '.join(ATTENTIONS)}")
    if sight.fidelity is not None:
        if name != "blocks":
            raise ModelError(f"a wanted fidelity is for --attention blocks, not {name}")
        if not 0 < sight.fidelity <= 1:
            raise ModelError(f"fidelity is {sight.fidelity}, expected above 0, at most 1")
    if name == "dense":
        return None
    if name == "vertical-slash":
        rule = VerticalSlashRule(quotas=head_quotas(config, directory))
        return _with_values(rule, values)
    if name == "tri-shape":
        return _with_values(tri_shape(), values)
    blocks = _with_values(BlockRule(fidelity=sight.fidelity), values)
    if any(word.partition("=")[0] in ("max_keys", "mass") for word in values.split(",")):
        return blocks
    # the window and not the room: the room is as long as the prompt
    found = find_tuned(directory, config, sight.window or config.native_window)
    if found is None:
        return blocks
    path, tuned = found
    on_notice(f"quotas tuned at {tuned.length:,} tokens are used: {path}")
    return replace(blocks, quotas=tuned.quotas)


def decode_rule(sight: Sight, config: ModelConfig) -> BlockRule | None:
    """Returns the Rule of decoded tokens, None where they attend densely.

    Raises:
        ModelError: there is no such mode, or a value that its Rule does not have.
    """
    name, _, values = settled(sight, config).decoding.partition(":")
    if name not in DECODINGS:
        raise ModelError(f"decoding {name!r} is not one of {', '.join(DECODINGS)}")
    if name == "dense":
        return None
    rule = BlockRule(ANSWER_KEYS, ANSWER_MASS, dense_below=DENSE_BELOW)
    return _with_values(rule, values)


def head_quotas(config: ModelConfig, directory: Path) -> Sequence[Sequence[tuple[int, int]]]:
    """Returns the columns and diagonals of every head of every layer, as shipped with the model.

    Qwen ships a list of layers, each an object from the number of a head to ["vertical_and_slash",
    columns, diagonals, score], in a file of its own or in `config.json`. Empty without either.

    Raises:
        ModelError: it is there and holds something else.
    """
    chunks = read_json(directory / "config.json").get("dual_chunk_attention_config") or {}
    path = directory / "sparse_attention_config.json"
    listed = chunks.get("sparse_attention_config")
    if listed is None and path.is_file():
        listed = _read_list(path)
    if listed is None:
        return ()
    try:
        return [
            [_quota(layer[str(head)]) for head in range(config.num_heads)]
            for layer in (listed[index] for index in range(config.num_layers))
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"{directory}: sparse_attention_config holds no "
            f"['vertical_and_slash', columns, diagonals, score] for each of {config.num_heads} "
            f"heads of {config.num_layers} layers: {error!r}"
        ) from error


def _read_list(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _quota(entry: Sequence[Any]) -> tuple[int, int]:
    kind, vertical, slash = entry[:3]
    if kind != "vertical_and_slash":
        raise ValueError(f"a head of type {kind!r}")
    return int(vertical), int(slash)


def _with_values(rule: R, text: str) -> R:
    """Returns the Rule with the values of "name=number,name=number"."""
    known: Mapping[str, type] = {
        item.name: type(getattr(rule, item.name))
        for item in fields(rule)
        if isinstance(getattr(rule, item.name), int | float)
    }
    changes = {}
    for word in filter(None, text.split(",")):
        name, _, number = word.partition("=")
        try:
            changes[name] = known[name](number)
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{word!r} is no value of this attention, expected NAME=NUMBER with a NAME of "
                f"{', '.join(known)}"
            ) from error
    return replace(rule, **changes)
