"""Runs modes of attention on the same long texts, each read once and asked often."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longctx.kernels.linear import FEW_ROWS
from longctx.runtime.chat import chat_prompt
from longctx.runtime.config import load_config
from longctx.runtime.decoder import Decoder, forward
from longctx.runtime.engine import Engine
from longctx.runtime.errors import ModelError
from longctx.runtime.fidelity_tasks import Item, make_items, with_facts
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.reader import DecoderReader, own_reader
from longctx.runtime.sight import Sight
from longctx.runtime.tokenizer import Tokenizer
from longctx.runtime.writing import Request

SYSTEM = "Answer from the text alone, as briefly as you can."
GREEDY_TOKENS = 64
# Rows of logits that are compared at once: 64 of 150,000 words take 40 MB.
ROWS = 64


@dataclass(frozen=True, slots=True)
class Book:
    """A real text that facts are put into."""

    name: str
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Case:
    """A text of about `length` tokens, its questions, and how the book goes on after it."""

    key: str
    length: int
    text: str
    items: tuple[Item, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Effort:
    """What a run may cost: questions and texts for each length, compared rows, answer length."""

    questions: int = 20
    samples: int = 1
    rows: int = 512
    answer_tokens: int = 48


class RowKeeper(DecoderReader):
    """A DecoderReader that keeps what the last layer makes of the wanted rows."""

    def __init__(self, decoder: Decoder, capacity: int, positions: Sequence[int]) -> None:
        """Keep the rows at these positions."""
        super().__init__(decoder, capacity)
        self._wanted = torch.tensor(sorted(positions), dtype=torch.int64)
        self.rows: dict[int, Tensor] = {}

    def read(self, token_ids: Tensor, on_part: Callable[[float], None], *, dense: bool) -> Tensor:
        """Returns float32 logits [V] after the last of `token_ids` [T], and remembers them."""
        start = self.cache.length
        hidden = forward(self.decoder, token_ids, self.cache, dense=dense)
        on_part(1.0)
        inside = (self._wanted >= start) & (self._wanted < start + len(token_ids))
        for position in self._wanted[inside].tolist():
            self.rows.setdefault(position, hidden[position - start].clone())
        return self.decoder.logits(hidden[-1:])[0]


def make_case(
    tokenizer: Tokenizer, book: Book, length: int, sample: int, effort: Effort, window: int
) -> Case:
    """Returns the Case of one book, length and sample; samples begin at different places.

    Raises:
        ModelError: the book is too short, or what is asked of it too long for the window.
    """
    items = make_items(book.language, effort.questions, seed=1_000 * sample + length)
    facts = [fact for item in items for fact in item.facts]
    ids = tokenizer.encode(book.text)
    num_kept = length - tokenizer.count("\n".join(text for _, text in facts))
    needed = max(0, num_kept) + effort.rows
    if num_kept < 1 or needed > len(ids):
        raise ModelError(
            f"{book.name} has {len(ids):,} tokens; {length:,} with {len(items)} questions need "
            f"{needed:,} of them, and {length - num_kept:,} for the facts",
            "choose other --lengths or fewer --questions, or a longer --text",
        )
    start = (len(ids) - needed) * sample // max(1, effort.samples)
    kept = tokenizer.decode(ids[start : start + num_kept]).strip("\ufffd")
    following = ids[start + num_kept : start + needed]
    key = f"{book.name} {length} {sample} {effort.questions} {effort.rows}"
    case = Case(key, length, with_facts(kept, facts), tuple(items), tuple(following))
    longest = len(_prefix(tokenizer, case)) + max(_behind(tokenizer, case, effort.answer_tokens))
    if longest > window:
        raise ModelError(
            f"{book.name} cut at {length:,} tokens is {longest:,} with its facts, a question and "
            f"its answer, and the model reads {window:,}: a text is not cut where its tokens are",
            f"--lengths {length - (longest - window) - 64}",
        )
    return case


def _prefix(tokenizer: Tokenizer, case: Case) -> list[int]:
    """Returns the token ids before the questions."""
    empty = chat_prompt(tokenizer, system=SYSTEM, documents=case.text, question="")
    return empty.prefix_ids


def _behind(tokenizer: Tokenizer, case: Case, answer_tokens: int) -> tuple[int, int]:
    """Returns how many tokens go on with the book, and how many ask and answer at most."""
    asked = (
        chat_prompt(tokenizer, system=SYSTEM, documents="", question=item.question)
        for item in case.items
    )
    own = max(len(prompt.question_ids) for prompt in asked) + answer_tokens
    return len(case.continuation) + GREEDY_TOKENS, own


def run_case(
    directory: Path,
    tokenizer: Tokenizer,
    case: Case,
    sight: Sight,
    *,
    numerics: str,
    answer_tokens: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns what one mode makes of a Case: a record for JSON, and the rows [n, hidden] it kept.

    Raises:
        ModelError: the text does not fit the window, or the model runs through transformers.
    """
    prompts = [
        chat_prompt(tokenizer, system=SYSTEM, documents=case.text, question=item.question)
        for item in case.items
    ]
    prefix = _prefix(tokenizer, case)
    num_read = len(prefix)
    inside = np.linspace(num_read // 2, num_read - 1, len(case.continuation), dtype=int).tolist()
    after = list(range(num_read, num_read + len(case.continuation)))
    going_on, own = _behind(tokenizer, case, answer_tokens)
    room = max(going_on, (1 + FEW_ROWS) * own)
    reader = own_reader(
        load_config(directory),
        directory,
        num_read + room,
        choose_numerics(numerics),
        sight,
    )
    keeper = RowKeeper(reader.decoder, reader.capacity, [*inside, *after])
    del reader
    engine = Engine(keeper)
    began = time.perf_counter()
    # the last token of the documents is read again with the question
    list(engine.generate(prefix, max_tokens=1, question_start=num_read, on_progress=on_progress))
    prefill_seconds = time.perf_counter() - began
    greedy = list(
        engine.generate(
            [*prefix, *case.continuation], max_tokens=GREEDY_TOKENS, question_start=num_read
        )
    )
    requests = [
        Request(prompt.ids, answer_tokens, tokenizer.stop_ids, question_start=num_read)
        for prompt in prompts
    ]
    said = [
        tokenizer.decode(list(ids))
        for first in range(0, len(requests), FEW_ROWS)
        for ids in engine.generate_each(requests[first : first + FEW_ROWS])
    ]
    answers = [
        {
            "task": item.task,
            "language": item.language,
            "depth": round(item.depth, 3),
            "question": item.question,
            "expected": list(item.answers),
            "answer": text,
            "score": item.score(text),
        }
        for item, text in zip(case.items, said, strict=True)
    ]
    meter = keeper.meter
    record = {
        "num_tokens": num_read,
        "prefill_seconds": round(prefill_seconds, 3),
        "recall_least": meter.worst.recall if meter.worst else None,
        "recall_median": meter.median,
        "greedy": greedy,
        "answers": answers,
    }
    kept = {
        name: torch.stack([keeper.rows[p] for p in at])
        for name, at in (("inside", inside), ("after", after))
    }
    return record, kept


def divergences(decoder: Decoder, dense: Tensor, other: Tensor) -> list[float]:
    """Returns KL(dense || other) of the next token, in nats, for each pair of rows [n, hidden]."""
    found: list[float] = []
    for one, two in zip(torch.split(dense, ROWS), torch.split(other, ROWS), strict=True):
        p = decoder.logits(one.to(decoder.numerics.dtype)).log_softmax(-1)
        q = decoder.logits(two.to(decoder.numerics.dtype)).log_softmax(-1)
        found += (p.exp() * (p - q)).sum(-1).clamp(min=0).tolist()
    return found


@dataclass
class Records:
    """What was measured, as JSON Lines that a stopped run goes on with; rows lie beside them."""

    path: Path
    _known: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _torn: bool = False

    def __post_init__(self) -> None:
        """Read what an earlier run left; a line that was cut short is measured again."""
        if self.path.is_file():
            stored = self.path.read_text(encoding="utf-8")
            self._torn = bool(stored) and not stored.endswith("\n")
            for line in stored.splitlines():
                try:
                    record = json.loads(line)
                    self._known[record["case"], record["mode"]] = record
                except (ValueError, KeyError, TypeError):
                    continue

    def find(self, case: str, mode: str) -> dict[str, Any] | None:
        """Returns the record of a Case under a mode; None where it is not measured yet."""
        found = self._known.get((case, mode))
        return found if found and self._rows_path(case, mode).is_file() else None

    def add(self, record: dict[str, Any], rows: dict[str, Tensor]) -> None:
        """Keep a record and its rows."""
        path = self._rows_path(record["case"], record["mode"])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            arrays: dict[str, Any] = {name: kept.float().numpy() for name, kept in rows.items()}
            np.savez(file, **arrays)
        draft.replace(path)
        self._known[record["case"], record["mode"]] = record
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write("\n" * self._torn + json.dumps(record, ensure_ascii=False) + "\n")
        self._torn = False

    def rows(self, case: str, mode: str) -> dict[str, Tensor]:
        """Returns the rows that were kept with a record."""
        with np.load(self._rows_path(case, mode), allow_pickle=False) as stored:
            return {name: torch.from_numpy(stored[name]) for name in stored.files}

    def _rows_path(self, case: str, mode: str) -> Path:
        name = hashlib.sha256(f"{case}\0{mode}".encode()).hexdigest()[:24]
        return self.path.with_suffix(".rows") / f"{name}.npz"
