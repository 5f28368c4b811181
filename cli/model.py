"""The model of a run: where it lies, its tokenizer and window; the engine only when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.cli.options import Attention, ModelOptions
from longctx.cli.progress import Progress
from longctx.cli.settings import Settings
from longctx.prompts.template import load

if TYPE_CHECKING:
    from longctx.runtime.chat import Prompt
    from longctx.runtime.engine import Engine
    from longctx.runtime.memory import MemoryPlan
    from longctx.runtime.prefix_store import PrefixStore
    from longctx.runtime.sampling import Sampling
    from longctx.runtime.token_counts import TokenCounts
    from longctx.runtime.tokenizer import Tokenizer

# The chat template's own words around the system text, the documents and the question.
TEMPLATE_TOKENS = 64


@dataclass
class Model:
    """An installed model and the settings it runs with; `window` is in tokens.

    `prefixes` keeps what it reads, under `label`; None where nothing is kept.
    """

    name: str
    directory: Path
    window: int
    options: ModelOptions
    prefixes: PrefixStore | None = None
    label: str = ""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        from longctx.runtime.tokenizer import Tokenizer

        return Tokenizer.load(self.directory)

    @cached_property
    def overhead(self) -> int:
        """The tokens of every prompt that are neither documents nor question."""
        return TEMPLATE_TOKENS + self.count(load("system"))

    @property
    def speed_key(self) -> str:
        """What a speed is remembered under: another choice of these is another speed."""
        options = self.options
        sparse = "" if options.attention is Attention.dense else f" {options.attention.value}"
        return f"{self.name} {options.numerics.value}{sparse} {options.threads or 'all'} threads"

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        return self.tokenizer.stop_ids

    @property
    def sampling(self) -> Sampling:
        """How the next token is chosen."""
        from longctx.runtime.sampling import Sampling

        return Sampling(temperature=self.options.temperature, seed=self.options.seed)

    @cached_property
    def counts(self) -> TokenCounts:
        """The token counts, those of earlier runs among them."""
        from longctx.runtime.token_counts import TokenCounts

        return TokenCounts(self.directory, lambda text: self.tokenizer.count(text))

    def count(self, text: str) -> int:
        """The number of tokens of a text."""
        return self.counts.count(text)

    def encode(self, text: str) -> list[int]:
        """The token ids of a text."""
        return self.tokenizer.encode(text)

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields the text of token ids as they come."""
        return self.tokenizer.decode_stream(ids)

    def prompt(self, documents: str, question: str, begin: str) -> Prompt:
        """The token ids of a prompt: what is before the question, and the question."""
        from longctx.runtime.chat import chat_prompt

        return chat_prompt(
            self.tokenizer,
            system=load("system"),
            documents=documents,
            question=question,
            begin=begin,
        )

    def plan(self, num_tokens: int) -> MemoryPlan | None:
        """The memory to read and write `num_tokens`; None for a foreign architecture."""
        from longctx.runtime.config import foreign_reason, load_config
        from longctx.runtime.engine import STEP_SIZE
        from longctx.runtime.memory import plan_memory
        from longctx.runtime.numerics import choose_numerics

        if foreign_reason(self.directory) is not None:
            return None
        return plan_memory(
            load_config(self.directory),
            self.directory,
            num_tokens,
            step_size=STEP_SIZE,
            numerics=choose_numerics(self.options.numerics.value),
        )

    def load_engine(self, num_tokens: int, on_notice: Callable[[str], None]) -> Engine:
        """The Engine with room for `num_tokens`.

        Raises:
            OutOfMemory: they do not fit this machine.
        """
        memory = self.plan(num_tokens)
        if memory is not None:
            memory.check()
        return self._engine(num_tokens, on_notice)

    def _engine(
        self, num_tokens: int, on_notice: Callable[[str], None] = lambda text: None
    ) -> Engine:
        from longctx.runtime.engine import load_engine

        return load_engine(
            self.directory,
            window=num_tokens,
            numerics=self.options.numerics.value,
            num_threads=self.options.threads,
            sparse=self.options.attention is Attention.blocks,
            prefixes=self.prefixes,
            label=self.label,
            on_notice=on_notice,
        )

    def num_stored(self, documents: str) -> int:
        """How many tokens of a prompt on these documents were read before and are kept."""
        from longctx.runtime.config import foreign_reason

        if self.prefixes is None or foreign_reason(self.directory) is not None:
            return 0
        prompt = self.prompt(documents, "", "")
        return self._engine(1).num_stored(prompt.ids, len(prompt.prefix_ids))


def open_prefixes(settings: Settings, options: ModelOptions) -> PrefixStore | None:
    """The store of what was read, unless the user wants none."""
    if options.no_cache or settings.cache_bytes == 0:
        return None
    from longctx.runtime.prefix_store import PrefixStore

    return PrefixStore(settings.cache, settings.cache_bytes)


def open_model(
    root: Path, name: str, options: ModelOptions, window: int | None, progress: Progress
) -> Model:
    """The model of that name or path in the store at `root`.

    Raises:
        ModelError: it is not on this machine; the hint is the line that brings it.
    """
    from longctx.runtime.store import resolve

    files = resolve(
        root,
        name,
        progress=lambda phase, done, total: progress.update(phase, done, total, "bytes"),
    )
    native, most = windows(files.directory)
    return Model(files.name, files.directory, min(most, window or native), options)


def model_name(options: ModelOptions, settings: Settings) -> str:
    """The model that the command line, the environment or the catalog's first entry names."""
    from longctx.runtime.catalog import DEFAULT

    return options.model or settings.model or DEFAULT.name


def windows(directory: Path) -> tuple[int, int]:
    """The tokens that the model in `directory` was trained for, and the most that it reads."""
    from longctx.runtime.config import foreign_reason, load_config, read_json

    if foreign_reason(directory) is None:
        config = load_config(directory)
        return config.native_window, config.window
    raw = read_json(directory / "config.json")
    trained = int(raw.get("max_position_embeddings") or raw.get("n_positions") or 2_048)
    return trained, trained
