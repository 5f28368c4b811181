"""Puts a job's Questions to a model, whose engine is loaded when the first one comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

from longctx.cli.model import Model
from longctx.cli.progress import Progress, duration
from longctx.cli.screen import Screen
from longctx.cli.speed import Reading
from longctx.cli.stop import looped, said_once, until_loop, until_stop
from longctx.prompts.question import Answer, Correction, Proofreading, Question

if TYPE_CHECKING:
    from longctx.runtime.chat import Prompt
    from longctx.runtime.engine import Engine
    from longctx.runtime.kept_edits import KeptEdits
    from longctx.runtime.writing import Request

# A question this short after a prefix already read needs no bar of its own.
SHORT_READING = 1_024


@dataclass(slots=True)
class Usage:
    """What the questions of a run took."""

    questions: int = 0
    answers_cut: int = 0
    answers_looped: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    tokens_foreseen: int = 0
    reading_seconds: float = 0.0
    writing_seconds: float = 0.0
    longest: Reading | None = None
    recall: Recall | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """How faithful sparse attention was, on the rows that were checked."""

    least: float
    median: float
    checked: int


@dataclass
class Session:
    """A model at work on one run's questions; `check` is called often, and stops it by raising."""

    model: Model
    room: int
    screen: Screen
    progress: Progress
    stream: Callable[[str], None]
    end_stream: Callable[[], None]
    check: Callable[[], None] = lambda: None
    clock: float = 0.0
    usage: Usage = field(default_factory=Usage)

    @cached_property
    def engine(self) -> Engine:
        """The Engine, loaded when the first question comes."""
        self.progress.update("loading the model", 0, 0)
        began = time.monotonic()
        engine = self.model.load_engine(self.room, self.screen.note)
        self.screen.detail(f"the model was loaded in {time.monotonic() - began:.1f} s")
        return engine

    def close(self) -> None:
        """Wait until what was read is stored."""
        if "engine" in self.__dict__:
            self.engine.close()

    def ask(self, question: Question) -> Answer:
        """The Answer to a Question; its words are streamed where the job says so."""
        (answer,) = self.ask_each([question])
        return answer

    def ask_each(self, questions: Sequence[Question]) -> list[Answer]:
        """The Answers to Questions of which none waits for another: they are written together."""
        answers: dict[Question, Answer] = {}
        writing: list[tuple[Question, Prompt, _Watch]] = []
        for question in questions:
            prompt = self.model.prompt(
                question.pack.text, question.text, question.begin, question.turns
            )
            if question.choices:
                answers[question] = self._choose(question, prompt)
            else:
                writing.append((question, prompt, _Watch(self, question.label)))
        if writing:
            foreseen = self.engine.num_foreseen
            found = self.engine.generate_each([self._request(*one) for one in writing])
            for (question, _, watch), ids in zip(writing, found, strict=True):
                answers[question] = self._written(question, watch, ids)
            self.usage.tokens_foreseen += self.engine.num_foreseen - foreseen
        return [answers[question] for question in questions]

    def proofread(self, asked: Proofreading) -> list[Correction]:
        """What the model would have written otherwise; nothing of a text that it reads altered."""
        from longctx.runtime.proofreading import proofread

        tokenizer = self.model.tokenizer
        ids = self.model.encode(asked.text)
        starts = tokenizer.starts(asked.text, ids)
        if starts is None:
            self.screen.note(f"{asked.label}: left out, since the tokenizer alters this text")
            return []
        least, kept = _least(asked, starts), self._kept_edits
        name = kept.name(ids, least) if kept else ""
        edits = kept.find(name) if kept else None
        if edits is None:
            edits = proofread(
                self.engine.lend(),
                ids,
                least,
                cache(lambda token_id: "\n" in tokenizer.decode([token_id])),
                partial(self._proofreading, asked),
            )
            self.usage.tokens_read += len(ids)
            if kept:
                kept.keep(name, edits)
        ends = [*starts, len(asked.text)]
        return [
            Correction(
                ends[one.start],
                ends[one.end],
                tokenizer.decode(one.token_ids),
                one.here,
                one.after,
            )
            for one in edits
        ]

    @cached_property
    def _kept_edits(self) -> KeptEdits | None:
        """What was proofread before; None where nothing is to be kept, or cannot be."""
        from longctx.runtime.kept_edits import KeptEdits
        from longctx.runtime.reader import DecoderReader

        store, reader = self.model.prefixes, self.engine.lend()
        if store is None or not isinstance(reader, DecoderReader):
            return None
        return KeptEdits(store.edits_path, reader, self.model.directory)

    def _proofreading(self, asked: Proofreading, done: int, total: int) -> None:
        self.check()
        self.progress.update(asked.label, done, total, "tokens")

    def recall(self) -> Recall | None:
        """The recall of the run so far; None where nothing was checked."""
        meter = self.engine.meter
        if meter is None or meter.worst is None or meter.median is None:
            return None
        return Recall(meter.worst.recall, meter.median, len(meter.recalls))

    def _choose(self, question: Question, prompt: Prompt) -> Answer:
        """The probabilities of the choices."""
        ids = [self.model.encode(choice) for choice in question.choices]
        watch = _Watch(self, question.label)
        chances = self.engine.choose(
            prompt.ids, ids, question_start=_start(question, prompt), on_progress=watch.read
        )
        watch.done()
        return Answer(probabilities=dict(zip(question.choices, chances, strict=True)))

    def _request(self, question: Question, prompt: Prompt, watch: _Watch) -> Request:
        """What the Engine is asked."""
        from longctx.runtime.writing import Request

        return Request(
            prompt.ids,
            question.max_tokens,
            self.model.stop_ids,
            self.model.sampling,
            question_start=_start(question, prompt),
            grammar=self.model.grammar(question.schema) if question.schema else None,
            on_progress=watch.read,
        )

    def _written(self, question: Question, watch: _Watch, ids: Iterator[int]) -> Answer:
        """The model's words."""
        limit, text = question.max_tokens, question.begin
        pieces = self.model.decode_stream(watch.count(ids))
        if not question.schema:
            pieces = until_loop(pieces)
        for piece in until_stop(pieces, question.stop):
            text += piece
            if question.stream:
                self.stream(piece)
        if question.stream:
            self.end_stream()
        watch.done()
        finished = watch.written < limit
        if not finished:
            self.usage.answers_cut += 1
            self.screen.detail(f"{question.label or 'answering'}: cut at {limit:,} tokens")
        if looped(text) and not question.schema:
            self.usage.answers_looped += 1
            text = said_once(text)
        return Answer(text=text, finished=finished)


def _least(asked: Proofreading, starts: Sequence[int]) -> list[float]:
    """How surprising each token must be: as the place says that its first visible sign is in."""
    least = [math.inf] * (len(asked.text) + 1)
    for start, end, surprise in asked.places:
        least[start:end] = [surprise] * (end - start)
    found = []
    for start, end in pairwise([*starts, len(asked.text)]):
        said = asked.text[start:end]
        found.append(math.inf if said.isspace() else least[end - len(said.lstrip())])
    return found


def _start(question: Question, prompt: Prompt) -> int:
    """Where a question begins; without documents nothing comes before it that is worth keeping."""
    return len(prompt.prefix_ids) if question.pack.text else 0


class _Watch:
    """Times one question, and tells the Progress how far its reading is."""

    def __init__(self, session: Session, label: str) -> None:
        """Start the clock."""
        self._session = session
        self._label = label or "answering"
        self._kept: int | None = None
        self._new = 0
        # the engine is loaded before the clock starts
        assert session.engine is not None
        session.usage.questions += 1
        self._is_first = session.usage.questions == 1
        self._began = self._read_at = session.clock = time.monotonic()
        self.written = 0

    def read(self, done: int, total: int) -> None:
        """Take the Engine's word on how much of the prompt is read."""
        self._session.check()
        if self._kept is None:
            self._kept, self._new = done, total - done
            # others may have been read in between
            self._began = self._session.clock
            if self._is_first and done > SHORT_READING:
                self._session.screen.note(f"{done:,} of {total:,} tokens were read before")
        self._read_at = self._session.clock = time.monotonic()
        if self._new > SHORT_READING:
            self._session.progress.update("reading", done, total, "tokens")
        else:
            self._session.progress.update(self._label, 0, 0)

    def count(self, ids: Iterator[int]) -> Iterator[int]:
        """Yields the ids and counts them."""
        for token in ids:
            self._session.check()
            self.written += 1
            yield token

    def done(self) -> None:
        """Add the question to the Session's Usage."""
        usage, began, now = self._session.usage, self._session.clock, time.monotonic()
        reading = Reading(self._new, self._read_at - self._began, self.written, now - began)
        self._session.clock = now
        usage.tokens_read += reading.num_tokens
        usage.tokens_written += reading.written
        usage.reading_seconds += reading.reading_seconds
        usage.writing_seconds += reading.writing_seconds
        usage.recall = self._session.recall()
        if reading.num_tokens > (usage.longest.num_tokens if usage.longest else SHORT_READING):
            usage.longest = reading
            rate = reading.num_tokens / max(reading.reading_seconds, 1e-9)
            self._session.screen.detail(
                f"read {reading.num_tokens:,} tokens in {duration(reading.reading_seconds)} "
                f"({rate:,.0f} tokens/s)"
            )
