"""The whole command line in process: a scripted model instead of weights."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from longctx.cli.main import main
from longctx.cli.model import Model
from longctx.cli.options import ModelOptions
from longctx.runtime.chat import Prompt


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class ScriptedModel(Model):
    """A token is a character; `say` gives the answer to a question, `yes` the chance of Yes."""

    say: Callable[[str], str] = lambda question: "Nothing."
    yes: float = 0.9
    questions: list[str] = field(default_factory=list)
    grammars: list[str | None] = field(default_factory=list)
    num_loads: int = 0
    room: int = 0
    num_closed: int = 0
    stored: int = 0

    stop_ids = frozenset({0})
    sampling = None
    meter = None

    def count(self, text: str) -> int:
        return len(text.split())

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        return map(chr, ids)

    def prompt(self, documents: str, question: str, begin: str, turns=()) -> Prompt:
        said = "".join(f"{asked}\1{answer}\2" for asked, answer in turns)
        return Prompt(self.encode(f"{documents}\0"), self.encode(f"{said}{question}{begin}"), True)

    def plan(self, num_tokens: int) -> None:
        return None

    def num_stored(self, documents: str) -> int:
        return self.stored

    def close(self) -> None:
        self.num_closed += 1

    def load_engine(self, num_tokens: int, on_notice: Callable[[str], None]) -> "ScriptedModel":
        self.num_loads += 1
        self.room = num_tokens
        return self

    num_foreseen = 0
    is_large = False

    @property
    def tokenizer(self) -> "ScriptedModel":
        return self

    def starts(self, text: str, ids: Sequence[int]) -> list[int]:
        return list(range(len(text)))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def lend(self) -> "ScriptedModel":
        return self

    def grammar(self, schema: str) -> str:
        return schema

    def generate_each(self, requests):
        return [self.generate(one) for one in requests]

    def generate(self, request):
        token_ids = request.token_ids
        self.grammars.append(request.grammar)
        self._check(token_ids, request.question_start)
        question = self._read(token_ids, request.on_progress)
        yield from map(ord, self.say(question)[: request.max_tokens])

    def _check(self, token_ids, question_start) -> None:
        """Where there are no documents nothing is read that is worth keeping."""
        before = max(0, question_start - 1)
        assert token_ids[before] == 0, "the question begins after the documents"
        assert (question_start == 0) == (before == 0), question_start

    def choose(self, token_ids, choices, *, question_start, on_progress) -> list[float]:
        self._check(token_ids, question_start)
        self._read(token_ids, on_progress)
        rest = (1 - self.yes) / (len(choices) - 1)
        return [self.yes, *[rest] * (len(choices) - 1)]

    def _read(self, token_ids: Sequence[int], on_progress: Callable[[int, int], None]) -> str:
        on_progress(0, len(token_ids))
        on_progress(len(token_ids), len(token_ids))
        question = "".join(map(chr, token_ids)).split("\0")[1]
        self.questions.append(question)
        return question


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty store, no settings, and an empty working directory."""
    for name in ("LONGCTX_MODEL", "NO_COLOR", "FORCE_COLOR", "TERM", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "home"
    monkeypatch.setenv("LONGCTX_HOME", str(root))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return root


@pytest.fixture
def model(home, monkeypatch):
    """A scripted model of 32,768 tokens that every command finds."""
    scripted = ScriptedModel("scripted", home, 32_768, ModelOptions())

    def open_model(root, name, options, window, progress):
        scripted.options = options
        scripted.window = min(32_768, window or 32_768)
        return scripted

    monkeypatch.setattr("longctx.cli.run.open_model", open_model)
    monkeypatch.setattr("longctx.cli.preview.open_model", open_model)
    return scripted


@pytest.fixture
def run(monkeypatch, capsys):
    """A function from arguments to what the command did; stdin is a terminal unless given."""

    def run_command(*argv: str, stdin: bytes | None = None) -> Outcome:
        source = Terminal() if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", source)
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_command
