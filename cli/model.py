"""The model of a run: where it lies, its tokenizer and window; the engine only when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.cli.options import Device, ModelOptions
from longctx.cli.progress import Progress
from longctx.cli.settings import Settings
from longctx.prompts.template import load

if TYPE_CHECKING:
    from longctx.prompts.question import Turn
    from longctx.runtime.chat import Prompt
    from longctx.runtime.engine import Engine
    from longctx.runtime.grammar import Grammar
    from longctx.runtime.memory import MemoryPlan
    from longctx.runtime.prefix_store import PrefixStore
    from longctx.runtime.sampling import Sampling
    from longctx.runtime.sight import Sight
    from longctx.runtime.token_counts import TokenCounts
    from longctx.runtime.tokenizer import Tokenizer

# The chat template's own words around the system text, the documents and the question.
TEMPLATE_TOKENS = 64


# Weights of about three billion parameters in 16 bits. Defects that the 1.5B found were nearly all
# false, and of a chapter of a novel it told of persons who were not in it.
LARGE_BYTES = 5 * 10**9


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
        modes = options.attention.value, options.decoding.value, options.extend.value
        unusual = "".join(f" {mode}" for mode in modes if mode not in ("auto", "none"))
        if options.fidelity is not None:
            unusual += f" {options.fidelity}"
        unusual += " kv8" if options.kv8 else ""
        if options.device is not Device.cpu:
            return f"{self.name} {options.device.value}{unusual}"
        return f"{self.name} {options.numerics.value}{unusual} {options.threads or 'all'} threads"

    @property
    def sight(self) -> Sight:
        """What tokens attend to."""
        from longctx.runtime.sight import Sight

        options = self.options
        return Sight(
            attention=options.attention.value,
            decoding=options.decoding.value,
            extend=options.extend.value,
            window=self.window,
            fidelity=options.fidelity,
        )

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        return self.tokenizer.stop_ids

    @property
    def is_large(self) -> bool:
        """Whether it may be trusted to find a passage in all it has read, and defects in code."""
        sizes = (path.stat().st_size for path in self.directory.glob("*.safetensors"))
        return sum(sizes) >= LARGE_BYTES

    @property
    def least(self) -> float:
        """The chance below which an answer is held not to be there; 0 where none was measured."""
        from longctx.runtime.catalog import find

        known = find(self.name)
        return known.least if known else 0.0

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

    def grammar(self, schema: str) -> Grammar:
        """What answers that follow a JSON schema may be."""
        from longctx.runtime.grammar import Grammar

        return Grammar(self.directory, min(self.stop_ids), schema)

    def prompt(
        self, documents: str, question: str, begin: str, turns: Sequence[Turn] = ()
    ) -> Prompt:
        """The token ids of a prompt: what is before the question, and the question."""
        from longctx.runtime.chat import chat_prompt

        return chat_prompt(
            self.tokenizer,
            system=load("system"),
            documents=documents,
            question=question,
            begin=begin,
            turns=turns,
        )

    def plan(self, num_tokens: int) -> MemoryPlan | None:
        """The memory to read and write `num_tokens`.

        None for a foreign architecture, and on a GPU, which is asked when the Engine is loaded.
        """
        from longctx.runtime.config import foreign_reason, load_config
        from longctx.runtime.engine import STEP_SIZE
        from longctx.runtime.extension import extend
        from longctx.runtime.memory import plan_memory
        from longctx.runtime.numerics import choose_numerics

        if self.options.device is not Device.cpu or foreign_reason(self.directory) is not None:
            return None
        return plan_memory(
            extend(load_config(self.directory), self.options.extend.value, self.window),
            self.directory,
            num_tokens,
            step_size=STEP_SIZE,
            numerics=choose_numerics(self.options.numerics.value, kv8=self.options.kv8),
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
        from longctx.runtime.loading import load_engine

        return load_engine(
            self.directory,
            window=num_tokens,
            numerics=self.options.numerics.value,
            kv8=self.options.kv8,
            num_threads=self.options.threads,
            sight=self.sight,
            device=self.options.device.value,
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
    usual, most = windows(files.directory, options.extend.value, window)
    return Model(files.name, files.directory, min(most, window or usual), options)


def model_name(options: ModelOptions, settings: Settings) -> str:
    """The model that the command line, the environment or the catalog's first entry names."""
    from longctx.runtime.catalog import DEFAULT

    return options.model or settings.model or DEFAULT.name


def windows(directory: Path, extension: str, asked: int | None) -> tuple[int, int]:
    """The tokens that the model in `directory` reads unless asked, and the most that it reads.

    It is the window that it was trained for, unless an extension is named.

    Raises:
        ModelError: there is no such extension for this model.
    """
    from longctx.runtime.config import foreign_reason, load_config, read_json
    from longctx.runtime.errors import ModelError
    from longctx.runtime.extension import extend

    reason = foreign_reason(directory)
    if reason is None:
        config = extend(load_config(directory), extension, asked)
        return config.native_window if extension == "none" else config.window, config.window
    if extension != "none":
        raise ModelError(f"--extend {extension} is for models of the own decoder: {reason}")
    raw = read_json(directory / "config.json")
    trained = int(raw.get("max_position_embeddings") or raw.get("n_positions") or 2_048)
    return trained, trained
