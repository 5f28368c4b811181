"""What a job and its driver say to each other: Question, Answer, Proofreading, Piece, Result."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from longctx.ingest.document import Span
from longctx.prompts.pack import Pack


class Turn(NamedTuple):
    """What the model was asked, as it was put to it, and what it said."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """One thing asked of a Pack; everything before `text` is the Pack and is read once.

    `choices` asks for the probability of each, without writing anything. `stream` says that the
    words of the answer are the job's own output and may be shown as they come. `begin` is the
    opening of the answer, given to the model as already said. `turns` were asked before, oldest
    first; they stand between the Pack and `text`. Where there is a JSON `schema`
    the answer follows it.
    """

    pack: Pack
    text: str
    max_tokens: int = 512
    choices: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    begin: str = ""
    turns: tuple[Turn, ...] = ()
    stream: bool = False
    label: str = ""
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's text, or the probabilities of the choices it was given."""

    text: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Proofreading:
    """Asks where in a text the model would have written something else.

    Only at the `places`: each a start, an end, and how surprising its first token must be, in nats.
    """

    text: str
    places: tuple[tuple[int, int, float], ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """What the model would have written of a text from `start` to `end`.

    `here` is how much likelier, in nats, that is to it than what stands there, `after` how much
    likelier what follows is then.
    """

    start: int
    end: int
    text: str
    here: float
    after: float


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote and what the search in the packed text made of it.

    `state` is "verified" (the quote stands there word for word, white space aside), "repaired"
    (the nearest text replaced it) or "unverified" (no such text; `span` is None).
    """

    quote: str
    state: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A finished part of a result: a finding, the summary of a chapter, a changed clause.

    `label` is a word from the job's short fixed list (a severity, a kind of change), `confidence`
    the chance that it is right by its Citations, where the model was asked.
    """

    heading: str
    body: str
    label: str = ""
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """All a job has to say: its pieces, a closing text, and the counts of what it did.

    `chances` holds how likely the model holds it, by when it was asked, that the text has the
    answer, or of the sources alone that the answer is right; `missing` are names and numbers of the
    answer that the text does not have; `data` is the answer to a question with a schema.
    """

    job: str
    pieces: tuple[Piece, ...] = ()
    text: str = ""
    citations: tuple[Citation, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    chances: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    data: Any = None


T = TypeVar("T")

Task = Generator[Question | Piece, Answer | None, T]
"""A part of a job: it yields Questions (and is sent Answers) and Pieces (and is sent None)."""

Said = Question | tuple[Question, ...] | Proofreading | Piece
Heard = Answer | Sequence[Answer] | Sequence[Correction] | None

Job = Generator[Said, Heard, Result]
"""A job is a Task that may also yield several Questions of which none waits for another.

It may yield Proofreadings too, and is sent their Corrections.
"""
