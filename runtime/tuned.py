"""Tuned Quotas beside a model: the file that `tune` writes and an engine picks up."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longctx.kernels.flash import BLOCK
from longctx.kernels.quotas import Quota, Quotas
from longctx.runtime.config import ModelConfig
from longctx.runtime.errors import ModelError
from longctx.runtime.store import model_at

# Raise it when a field changes its meaning.
VERSION = 1
MODE = "blocks"
FILES = f"tuned-{MODE}-*.json"


@dataclass(frozen=True, slots=True)
class TunedHead:
    """A KV head's Quota, and the low quantile of its recalls before tuning and with it.

    Both are None where no row of its layer was checked.
    """

    max_keys: int
    mass: float
    recall_before: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was tuned for a model at a length of tokens, for a wanted fidelity.

    Its numbers are those of checked rows of the second half. `quantile` is the share of rows and
    heads that may fall below the fidelity; `keys_before` and `keys` are the keys of earlier tiles
    that a row attended to, in the mean. `model` is the digest of the model's files, `attention`
    what was tuned from.
    """

    model: str
    attention: str
    extend: str
    numerics: str
    length: int
    fidelity: float
    quantile: float
    passes: int
    date: str
    keys_before: float
    keys: float
    layers: tuple[tuple[TunedHead, ...], ...]

    @property
    def quotas(self) -> Quotas:
        """The Quota of every KV head of every layer."""
        return Quotas(
            tuple(tuple(Quota(head.max_keys, head.mass) for head in layer) for layer in self.layers)
        )

    @property
    def heads(self) -> Iterator[tuple[int, int, TunedHead]]:
        """Yields every KV head with the numbers of its layer and of itself."""
        for layer, heads in enumerate(self.layers):
            for head, tuned in enumerate(heads):
                yield layer, head, tuned

    def as_json(self) -> str:
        """The file that is read again."""
        facts = {"version": VERSION, "mode": MODE, **asdict(self)}
        layers = facts.pop("layers")
        rows = ",\n".join(f"  {json.dumps(layer)}" for layer in layers)
        return f'{json.dumps(facts, indent=1)[:-2]},\n "layers": [\n{rows}\n ]\n}}\n'


def tuned_path(directory: Path, length: int) -> Path:
    """Returns where what was tuned at a length lies beside the model in `directory`."""
    return directory / f"tuned-{MODE}-{length}.json"


def find_tuned(directory: Path, config: ModelConfig, window: int) -> tuple[Path, Tuned] | None:
    """Returns what was tuned for the model at the length that is nearest to its window.

    That is the greatest tuned length within `window`, and the smallest of all where none is. It
    goes by the window and never by the prompt: the same tokens are read alike in all prompts.

    Raises:
        ModelError: the file is malformed, or was made for another model.
    """
    lengths = {_length_of(path): path for path in sorted(directory.glob(FILES))}
    if not lengths:
        return None
    within = [length for length in lengths if length <= window]
    path = lengths[max(within) if within else min(lengths)]
    return path, read_tuned(path, directory, config)


def read_tuned(path: Path, directory: Path, config: ModelConfig) -> Tuned:
    """Returns what the file holds for the model in `directory`.

    Raises:
        ModelError: it is malformed, or was made for another model.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        version, mode = facts.pop("version"), facts.pop("mode")
        layers = tuple(tuple(_head(raw) for raw in layer) for layer in facts.pop("layers"))
        tuned = Tuned(**facts, layers=layers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"cannot be read: {error!r}") from error
    if (version, mode) != (VERSION, MODE):
        raise _unusable(
            path, f"is of version {version!r} for {mode!r}, expected {VERSION} for {MODE!r}"
        )
    if tuned.length != _length_of(path):
        raise _unusable(path, f"says it was tuned at {tuned.length!r} tokens, its name another")
    found = [len(layer) for layer in layers]
    if found != [config.num_kv_heads] * config.num_layers:
        raise _unusable(
            path,
            f"holds {sum(found)} heads of {len(found)} layers, expected {config.num_kv_heads} in "
            f"each of {config.num_layers}",
        )
    if tuned.model != model_at(directory).digest:
        raise _unusable(path, "was made for other weights than those beside it")
    return tuned


def write_tuned(directory: Path, tuned: Tuned) -> Path:
    """Returns where what was tuned lies now beside its model, written whole or not at all.

    Raises:
        OSError: the disk is full, or nothing can be written there.
    """
    path = tuned_path(directory, tuned.length)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(tuned.as_json())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()
    return path


def _length_of(path: Path) -> int:
    found = re.fullmatch(rf"tuned-{MODE}-([1-9]\d*)\.json", path.name)
    if found is None:
        raise _unusable(path, f"has a name that is not tuned-{MODE}-LENGTH.json")
    return int(found[1])


def _head(raw: Any) -> TunedHead:
    head = TunedHead(**raw)
    for number in (head.max_keys, head.mass):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError(f"{number!r} is no number")
    if not isinstance(head.max_keys, int) or head.max_keys < BLOCK:
        raise ValueError(f"max_keys is {head.max_keys!r}, expected {BLOCK} or more")
    # false for what is no number too
    if not head.mass >= 0:
        raise ValueError(f"mass is {head.mass!r}, expected 0 or more")
    return head


def _unusable(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} {reason}", "delete it, or make it again: longctx tune MODEL --length N --text FILE"
    )
