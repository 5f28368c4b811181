"""Writing: what is asked of an Engine, and an answer on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longctx.runtime.branches import Branches
from longctx.runtime.grammar import Grammar
from longctx.runtime.sampling import Sampling, choose_token

Progress = Callable[[int, int], None]
"""Told the tokens read so far and the tokens of the prompt."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and how it is to be answered.

    The tokens from position `question_start` on attend densely whatever the others do. With a
    `grammar` the answer is what it allows, and ends where it is whole.
    """

    token_ids: Sequence[int]
    max_tokens: int
    stop_ids: Collection[int] = ()
    sampling: Sampling = field(default_factory=Sampling)
    question_start: int | None = None
    grammar: Grammar | None = None
    on_progress: Progress = lambda done, total: None


class Writing:
    """The tokens of an answer so far; `is_done` after the last."""

    def __init__(self, request: Request) -> None:
        """Begin."""
        self.tokens: list[int] = []
        self.is_done = False
        self.walk = request.grammar.walk() if request.grammar else None
        self._request = request
        self._generator = request.sampling.generator()

    @property
    def room(self) -> int:
        """The most tokens that may follow."""
        return self._request.max_tokens - len(self.tokens)

    def take(self, logits: Tensor) -> int | None:
        """Returns the token that `logits` [V] have next; None for a stop id, which is not kept."""
        request = self._request
        logits = self.walk.allowed(logits) if self.walk else logits
        token = choose_token(logits, request.sampling, self.tokens, self._generator)
        if token in request.stop_ids:
            self.is_done = True
            return None
        self.tokens.append(token)
        whole = self.walk is not None and self.walk.take(token)
        self.is_done = whole or not self.room
        return token


class Together:
    """Answers that are written side by side: what one is asked for, all go on to."""

    def __init__(
        self, branches: Branches, writings: Sequence[Writing], logits: Sequence[Tensor]
    ) -> None:
        """Begin each with the `logits` [V] behind its prompt."""
        self._branches = branches
        self._writings = writings
        self._waiting = [deque[int]() for _ in writings]
        for index, row in enumerate(logits):
            self._take(index, row)

    def answer(self, index: int) -> Iterator[int]:
        """Yields the ids of one of the answers, which goes no further once this is closed."""
        writing, waiting = self._writings[index], self._waiting[index]
        try:
            while waiting or not writing.is_done:
                if waiting:
                    yield waiting.popleft()
                else:
                    self._go_on()
        finally:
            writing.is_done = True

    @torch.inference_mode()
    def _go_on(self) -> None:
        going = [index for index, one in enumerate(self._writings) if not one.is_done]
        last = [self._writings[index].tokens[-1] for index in going]
        for index, row in zip(going, self._branches.decode(going, last), strict=True):
            self._take(index, row)

    def _take(self, index: int, logits: Tensor) -> None:
        token = self._writings[index].take(logits)
        if token is not None:
            self._waiting[index].append(token)
