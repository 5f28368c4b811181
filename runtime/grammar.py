"""Grammar: answers that can be nothing else than what a JSON schema allows."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from longctx.runtime.errors import ModelError

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from llguidance._lib import JsonCompileOptions

# A small model that may put white space anywhere puts too much of it.
_JSON: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


class Grammar:
    """What answers may be, for the tokens of one model."""

    def __init__(self, directory: Path, stop_id: int, schema: str) -> None:
        """Take the JSON `schema` for the model in `directory`, whose answers `stop_id` ends.

        Raises:
            ModelError: it is no JSON schema, or asks for what cannot be followed.
        """
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, defaults=_JSON)
        except ValueError as error:
            raise _unfit(schema, str(error)) from error
        self._tokens = _tokens_of(directory / "tokenizer.json", stop_id)
        self._first = LLMatcher(self._tokens, grammar)
        if self._first.is_error():
            raise _unfit(schema, self._first.get_error())

    def walk(self) -> Walk:
        """Returns the beginning of an answer."""
        return Walk(self._first.deep_copy(), self._tokens.vocab_size)


class Walk:
    """An answer on its way: what may come next."""

    def __init__(self, matcher: Any, num_tokens: int) -> None:
        """Begin where the matcher is."""
        from llguidance.numpy import allocate_token_bitmask

        self._matcher = matcher
        self._bits = allocate_token_bitmask(1, num_tokens)

    def allowed(self, logits: Tensor) -> Tensor:
        """Returns logits [V] with those of tokens that may not come next at minus infinity."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits, 0)
        bits = np.unpackbits(self._bits[0].view(np.uint8), bitorder="little")
        # a model may have room for more tokens than its tokenizer knows
        room = np.zeros(logits.shape[-1], dtype=np.bool_)
        room[: len(bits)] = bits[: len(room)]
        # by one thread: so short a work is not worth waiting for another where cores are busy
        return torch.from_numpy(np.where(room, logits.numpy(), np.float32("-inf")))

    def take(self, token: int) -> bool:
        """Returns whether the answer is whole with this token, so that nothing can follow it."""
        assert self._matcher.consume_token(token), token
        return bool(self._matcher.is_stopped())

    def forced(self) -> list[int]:
        """Returns the tokens that must come next whatever the model thinks."""
        return list(self._matcher.compute_ff_tokens())


@cache
def _tokens_of(path: Path, stop_id: int) -> LLTokenizer:
    """Returns the tokens of a tokenizer.json as the grammar reads them: it takes a second."""
    from llguidance import LLTokenizer

    return LLTokenizer(path.read_text("utf-8"), eos_token=stop_id)


def _unfit(schema: str, reason: str) -> ModelError:
    shown = json.dumps(schema[:60])
    return ModelError(
        f"the JSON schema {shown} cannot be followed: {reason.splitlines()[0]}",
        "plain schemas work best: objects with properties and required, arrays, enum, numbers",
    )
