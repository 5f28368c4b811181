"""Puts a job's Questions to a model, whose engine is loaded when the first one comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from longctx.cli.model import Model
from longctx.cli.progress import Progress, duration
from longctx.cli.screen import Screen
from longctx.cli.speed import Reading
from longctx.cli.stop import looped, said_once, until_loop, until_stop
from longctx.prompts.question import Answer, Question

if TYPE_CHECKING:
    from longctx.runtime.chat import Prompt
    from longctx.runtime.engine import Engine

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
        self.usage.questions += 1
        prompt = self.model.prompt(
            question.pack.text, question.text, question.begin, question.turns
        )
        return self._choose(question, prompt) if question.choices else self._write(question, prompt)

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
            prompt.ids, ids, question_start=len(prompt.prefix_ids), on_progress=watch.read
        )
        watch.done()
        return Answer(probabilities=dict(zip(question.choices, chances, strict=True)))

    def _write(self, question: Question, prompt: Prompt) -> Answer:
        """The model's words."""
        limit = question.max_tokens
        watch, foreseen = _Watch(self, question.label), self.engine.num_foreseen
        ids = self.engine.generate(
            prompt.ids,
            sampling=self.model.sampling,
            max_tokens=limit,
            stop_ids=self.model.stop_ids,
            question_start=len(prompt.prefix_ids),
            grammar=self.model.grammar(question.schema) if question.schema else None,
            on_progress=watch.read,
        )
        text = question.begin
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
        self.usage.tokens_foreseen += self.engine.num_foreseen - foreseen
        finished = watch.written < limit
        if not finished:
            self.usage.answers_cut += 1
            self.screen.detail(f"{question.label or 'answering'}: cut at {limit:,} tokens")
        if looped(text) and not question.schema:
            self.usage.answers_looped += 1
            text = said_once(text)
        return Answer(text=text, finished=finished)


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
        self._began = time.monotonic()
        self._read_at = self._began
        self.written = 0

    def read(self, done: int, total: int) -> None:
        """Take the Engine's word on how much of the prompt is read."""
        self._session.check()
        if self._kept is None:
            self._kept, self._new = done, total - done
            if self._session.usage.questions == 1 and done > SHORT_READING:
                self._session.screen.note(f"{done:,} of {total:,} tokens were read before")
        self._read_at = time.monotonic()
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
        usage, now = self._session.usage, time.monotonic()
        reading = Reading(self._new, self._read_at - self._began, self.written, now - self._read_at)
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
