"""Engine: token ids in, token ids out. It knows no text.

What has been read stays in the KVCache, and a call that begins with the same tokens pays only for
the rest: a token's keys and values depend on nothing after it, so the longest common prefix of two
prompts is the same in both. With a PrefixKeeper this holds from one process to the next. A short
prompt between two of a long text does not cost that either: what it is read over is put aside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longctx.runtime.errors import ModelError
from longctx.runtime.fidelity import RecallMeter
from longctx.runtime.grammar import Grammar
from longctx.runtime.lookup import guessed
from longctx.runtime.prefix_keeper import PrefixKeeper
from longctx.runtime.reader import Reader
from longctx.runtime.sampling import Sampling
from longctx.runtime.writing import Progress, Request, Together, Writing

STEP_SIZE = 2048
# The most tokens of a prompt and its answer that are read over a longer one, kept in a copy so far.
MOST_ASIDE = 4_096


@dataclass(frozen=True, slots=True)
class _Aside:
    """A prompt that was read, of whose tokens the first `end` are kept in a copy."""

    ids: NDArray[np.int64]
    question_start: int
    end: int
    bring_back: Callable[[], None]


class Engine:
    """A Reader and the tokens it has read."""

    def __init__(
        self, reader: Reader, step_size: int = STEP_SIZE, keeper: PrefixKeeper | None = None
    ) -> None:
        """Start with nothing read; prompts are read `step_size` tokens at a time."""
        self.reader = reader
        self.step_size = step_size
        self.keeper = keeper
        self._grid = max(reader.grid, keeper.grid if keeper else 1)
        self._ids = np.empty(reader.capacity, dtype=np.int64)
        self._length = 0
        # from here on what was read attended densely
        self._question_start = 0
        # whether tokens are read ahead of the answer, how many were, and how many came true
        self.num_guessed = self.num_foreseen = 0
        self.guesses = True
        self._aside: _Aside | None = None

    def close(self) -> None:
        """Return when what was read is stored, where it is to be stored."""
        if self.keeper:
            self.keeper.close()

    def __enter__(self) -> Self:
        """The Engine, to be closed at the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    @property
    def window(self) -> int:
        """The most tokens that prompt and answer may have together."""
        return self.reader.capacity

    @property
    def meter(self) -> RecallMeter | None:
        """What was checked of sparse attention; None where the reader checks nothing."""
        return self.reader.meter

    def lend(self) -> Reader:
        """Returns the Reader, which forgets what it has read, for another use than answers."""
        self._aside = None
        self._forget(0)
        return self.reader

    def num_stored(self, token_ids: Sequence[int], question_start: int) -> int:
        """Returns how many tokens before the question an earlier run has stored."""
        if self.keeper is None:
            return 0
        return self.keeper.num_stored(np.asarray(token_ids, dtype=np.int64), question_start)

    def generate(
        self,
        token_ids: Sequence[int],
        *,
        max_tokens: int,
        stop_ids: Collection[int] = (),
        sampling: Sampling | None = None,
        question_start: int | None = None,
        grammar: Grammar | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> Iterator[int]:
        """Yields the ids of the answer to `token_ids`, up to a stop id, which is not yielded.

        The tokens from position `question_start` on attend densely whatever the others do. With a
        `grammar` the answer is what it allows, and ends where it is whole.

        Raises:
            ModelError: prompt and answer do not fit the window.
        """
        return self._generate(
            Request(
                token_ids,
                max_tokens,
                stop_ids,
                sampling or Sampling(),
                question_start,
                grammar,
                on_progress,
            )
        )

    @torch.inference_mode()
    def generate_each(self, requests: Sequence[Request]) -> list[Iterator[int]]:
        """Returns the ids of each answer, as `generate` yields them.

        Where the Reader can they are written side by side. They are to be taken one after the
        other, in their order, and all of them taken, or closed, before anything else is asked.

        Raises:
            ModelError: a prompt and its answer do not fit the window.
        """
        for one in requests:
            self._check_room(len(one.token_ids), one.max_tokens)
        prompts = [np.asarray(one.token_ids, dtype=np.int64) for one in requests]
        shared = min(_num_shared(prompts[0], prompt) for prompt in prompts)
        rooms = [len(one.token_ids) - shared + one.max_tokens for one in requests]
        branches = None
        if len(requests) > 1:
            branches = self.reader.branches(shared, max(map(len, prompts)), rooms)
        if branches is None:
            return [self._generate(one) for one in requests]
        # they are written behind all that is read, also behind what is put aside
        self._aside = None
        logits = []
        for index, one in enumerate(requests):
            logits.append(self._prefill(one.token_ids, one.question_start, one.on_progress))
            branches.park(index)
        together = Together(branches, [Writing(one) for one in requests], logits)
        return [together.answer(index) for index in range(len(requests))]

    @torch.inference_mode()
    def choose(
        self,
        token_ids: Sequence[int],
        choices: Sequence[Sequence[int]],
        *,
        question_start: int | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> list[float]:
        """Returns the probability of each choice as the next words, normalized among them.

        Raises:
            ModelError: prompt and choices do not fit the window.
        """
        assert choices and all(choices), "a choice without tokens"
        self._check_room(len(token_ids), max(map(len, choices)))
        self._change_to(token_ids, max(map(len, choices)))
        first = self._prefill(token_ids, question_start, on_progress)
        scores = []
        for choice in choices:
            score = first.log_softmax(-1)[choice[0]]
            for token, following in zip(choice, choice[1:], strict=False):
                score = score + self._decode([token])[0].log_softmax(-1)[following]
            scores.append(score)
            self._forget(len(token_ids))
        return torch.stack(scores).softmax(-1).tolist()

    @torch.inference_mode()
    def _generate(self, request: Request) -> Iterator[int]:
        num_tokens = len(request.token_ids)
        self._check_room(num_tokens, request.max_tokens)
        writing = Writing(request)
        self._change_to(request.token_ids, request.max_tokens)
        logits = self._prefill(request.token_ids, request.question_start, request.on_progress)[None]
        ahead: list[int] = []
        while True:
            # row i of the logits follows the i first of the tokens read ahead, if those come true
            for index, row in enumerate(logits):
                token = writing.take(row)
                if token is None:
                    return
                yield token
                if writing.is_done:
                    return
                if index == len(ahead) or ahead[index] != token:
                    break
                self.num_foreseen += 1
            self._forget(num_tokens + len(writing.tokens) - 1)
            ahead = self._ahead(writing, request.sampling)
            self.num_guessed += len(ahead)
            logits = self._decode([writing.tokens[-1], *ahead])

    def _check_room(self, num_tokens: int, max_tokens: int) -> None:
        if not num_tokens:
            raise ModelError("the prompt is empty, expected at least one token")
        if num_tokens + max_tokens > self.window:
            raise ModelError(
                f"{num_tokens:,} tokens of prompt and {max_tokens:,} of answer do not fit the "
                f"window of {self.window:,}"
            )

    def _change_to(self, token_ids: Sequence[int], room: int) -> None:
        """Bring back what was put aside if it begins as `token_ids`, or put aside what is read.

        That is if a short prompt, with `room` for its answer, would be read over a long one.
        """
        wanted, end = np.asarray(token_ids, dtype=np.int64), len(token_ids) + room
        kept = _num_shared(self._ids[: self._length], wanted)
        if self._aside and _num_shared(self._aside.ids, wanted) > kept:
            self._forget(0)
            self._aside.bring_back()
            self._length, self._question_start = len(self._aside.ids), self._aside.question_start
            self._ids[: self._length] = self._aside.ids
            self._aside = None
        elif self._aside and end > self._aside.end:
            self._aside = None
        elif not self._aside and end <= MOST_ASIDE and end < self._length - kept:
            # the keeper would no longer know of tokens that it converted
            is_plain = not (self.keeper and self.keeper.num_converted)
            bring_back = self.reader.put_aside(end) if is_plain else None
            if bring_back is not None:
                ids = self._ids[: self._length].copy()
                self._aside = _Aside(ids, self._question_start, end, bring_back)

    def _prefill(
        self, token_ids: Sequence[int], question_start: int | None, on_progress: Progress
    ) -> Tensor:
        """Returns the logits after `token_ids`, reading only what is not read yet."""
        wanted = np.asarray(token_ids, dtype=np.int64)
        total = len(wanted)
        question_start = total if question_start is None else question_start
        kept = self._kept(wanted, question_start)
        self._forget(kept)
        self._question_start = question_start
        if self.keeper and kept < question_start:
            kept = self._restore(self.keeper, wanted, question_start, kept)
        logits = None
        for start, end in self._steps(kept, question_start, total):
            on_progress(start, total)

            def on_part(share: float, start: int = start, size: int = end - start) -> None:
                on_progress(start + int(share * size), total)

            logits = self._step(wanted[start:end].tolist(), on_part, dense=start >= question_start)
            if self.keeper and end <= question_start:
                self.keeper.keep(end)
        on_progress(total, total)
        assert logits is not None, "a prompt of no tokens"
        return logits

    def _kept(self, wanted: NDArray[np.int64], question_start: int) -> int:
        """Returns how many tokens of what was read need not be read again."""
        kept = _num_shared(self._ids[: self._length], wanted)
        # the last is read again when nothing else is new, for the sake of its logits
        kept = min(kept, len(wanted) - 1)
        if kept >= question_start == self._question_start or self._grid == 1:
            return kept
        # a tile torn by the question attends densely, a whole one does not
        kept = min(kept, question_start, self._question_start)
        return kept - kept % self._grid

    def _restore(
        self, keeper: PrefixKeeper, wanted: NDArray[np.int64], question_start: int, kept: int
    ) -> int:
        """Returns how many tokens are in place once the store has been asked for more."""
        length = keeper.restore(wanted, question_start, kept)
        self._ids[:length] = wanted[:length]
        self._length = length
        if length == len(wanted):
            # as in `_kept`
            length -= 1
        if length < question_start:
            length -= length % self._grid
        if length < self._length:
            self._forget(length)
        return self._length

    def _steps(self, start: int, question_start: int, total: int) -> Iterator[tuple[int, int]]:
        """Yields the Steps: ends on the reader's grid, and where the question begins."""
        size = max(self._grid, self.step_size - self.step_size % self._grid)
        while start < total:
            end = min(start + size, question_start if start < question_start else total)
            yield start, end
            start = end

    def _step(
        self,
        token_ids: list[int],
        on_part: Callable[[float], None] = lambda share: None,
        *,
        dense: bool = True,
    ) -> Tensor:
        logits = self.reader.read(torch.tensor(token_ids), on_part, dense=dense)
        self._remember(token_ids)
        return logits

    def _decode(self, token_ids: list[int]) -> Tensor:
        logits = self.reader.decode(torch.tensor(token_ids))
        self._remember(token_ids)
        return logits

    def _ahead(self, writing: Writing, sampling: Sampling) -> list[int]:
        """Returns the tokens that must follow, or may since they did somewhere before."""
        count = min(self.reader.most_rows - 1, writing.room) if self.guesses else 0
        forced = writing.walk.forced()[:count] if writing.walk and count > 0 else []
        if forced or count <= 0 or not sampling.is_greedy:
            return forced
        return guessed(self._ids[: self._length], writing.tokens[-1], count)

    def _remember(self, token_ids: list[int]) -> None:
        end = self._length + len(token_ids)
        self._ids[self._length : end] = token_ids
        self._length = end

    def _forget(self, length: int) -> None:
        if self.keeper:
            self.keeper.settle(length)
        self.reader.truncate(length)
        self._length = length


def _num_shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Returns how many tokens both begin with alike."""
    most = min(len(one), len(other))
    differing = np.flatnonzero(one[:most] != other[:most])
    return int(differing[0]) if differing.size else most
