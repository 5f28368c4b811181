"""Models whose architecture is not our own, run by transformers: dense, slower, but it works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from longctx.kernels.linear import FEW_ROWS
from longctx.runtime.config import read_json
from longctx.runtime.errors import ModelError
from longctx.runtime.numerics import Numerics
from longctx.runtime.reader import Reader


class ForeignReader(Reader):
    """A causal language model of transformers with its own cache."""

    def __init__(self, model: Any, capacity: int, numerics: Numerics) -> None:
        """Start with nothing read."""
        from transformers import DynamicCache

        self.model = model
        self.capacity = capacity
        self.grid = 1
        self.numerics = numerics
        self._cache = DynamicCache(config=model.config)
        self._length = 0

    @property
    def most_rows(self) -> int:
        """The most tokens that are decoded at once."""
        return FEW_ROWS

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""
        return self._logits(token_ids, 1)[0]

    def decode(self, token_ids: Tensor) -> Tensor:
        """Returns float32 logits [T, V] after each of `token_ids` [T], and remembers them."""
        return self._logits(token_ids, token_ids.shape[0])

    def _logits(self, token_ids: Tensor, last: int) -> Tensor:
        out = self.model(
            token_ids[None], past_key_values=self._cache, use_cache=True, logits_to_keep=last
        )
        self._length += token_ids.shape[0]
        logits: Tensor = out.logits[0].float()
        return logits

    def truncate(self, length: int) -> None:
        """Forget the tokens from position `length` on."""
        if length < self._length:
            self._cache.crop(length - self._length)
            self._length = length


def load_foreign_reader(directory: Path, window: int | None, numerics: Numerics) -> ForeignReader:
    """Returns a ForeignReader over the safetensors in `directory`.

    Code shipped with a model is never run, and weights in pickle files are never opened.

    Raises:
        ModelError: transformers cannot load it.
    """
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=numerics.dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        kind = read_json(directory / "config.json").get("model_type")
        raise ModelError(
            f"{directory}: transformers cannot load architecture {kind!r}: {error}",
            "choose another model: longctx models list",
        ) from error
    native = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 32_768)
    return ForeignReader(model.eval(), min(window or native, native), numerics)
