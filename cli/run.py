"""One run of a command that asks a model: from the paths to the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from longctx.cli.drive import drive
from longctx.cli.failure import UsageFault
from longctx.cli.gather import Gathered, gather
from longctx.cli.manifest_table import manifest_as_text
from longctx.cli.model import Model, model_name, open_model, open_prefixes
from longctx.cli.options import ModelOptions, OutputOptions, SourceOptions
from longctx.cli.output_file import check_writable
from longctx.cli.packing import make_packs
from longctx.cli.progress import open_progress
from longctx.cli.report import Report
from longctx.cli.screen import Screen
from longctx.cli.session import Session
from longctx.cli.settings import read_settings
from longctx.cli.speed import remember
from longctx.ingest.errors import InputError
from longctx.prompts.budget import Budget
from longctx.prompts.passages import BESIDE
from longctx.prompts.together import WIDTH
from longctx.runtime.catalog import find

if TYPE_CHECKING:
    from longctx.ingest.document import Document
    from longctx.prompts.pack import Pack
    from longctx.prompts.question import Job, Result

# A question may turn out longer than was planned for.
SLACK_TOKENS = 4_096
# In longer texts each row that sees everything takes long, and at 121,000 tokens, far past the
# window of the default model, passages did not mend its answers.
NEAR_TOKENS = 32_768
# Documents so short are asked side by side.
SHORT_TOKENS = 2_048


class Run:
    """Holds what the commands share; as a context it reports what was done when one fails."""

    def __init__(
        self, command: str, sources: SourceOptions, model: ModelOptions, output: OutputOptions
    ) -> None:
        """Look at the environment and the options."""
        if output.output is not None:
            check_writable(output.output)
        self.command = command
        self.sources = sources
        self.options = model
        self.settings = read_settings()
        self.screen = Screen(self.settings, quiet=output.quiet, verbose=output.verbose)
        self.progress = open_progress(self.screen)
        self.report = Report(command, self.screen, output)
        self.show_manifest = output.manifest
        self._model: Model | None = None
        self.room = 0
        self.near = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Report what was done before the failure, which goes on to the gate."""
        self.progress.pause()
        if error is not None and not isinstance(error, BrokenPipeError):
            self.report.fail(error)

    @property
    def model(self) -> Model:
        """The model that answers."""
        if self._model is None:
            self._model = open_model(
                self.settings.root,
                model_name(self.options, self.settings),
                self.options,
                self.sources.window,
                self.progress,
            )
            self._model.prefixes = open_prefixes(self.settings, self.options)
            self.report.model = self._model.name
        return self._model

    def gather(self, paths: Sequence[str] | None) -> Gathered:
        """What the paths hold."""
        return gather(self.command, paths, self.sources)

    def gather_each(self, paths: Sequence[str]) -> list[Document]:
        """One Document for each path.

        Raises:
            InputError: a file that holds no text.
            UsageFault: a path that is not one file, or the same file twice.
        """
        if folders := [path for path in paths if os.path.isdir(path)]:
            raise UsageFault(f"{folders[0]!r} is a directory; compare takes files, one a path")
        gathered = self.gather(paths)
        if gathered.skipped and len(gathered.documents) < len(paths):
            skipped = gathered.skipped[0]
            raise InputError(f"{skipped.name} cannot be compared: {skipped.reason}")
        if len(gathered.documents) != len(paths):
            raise UsageFault(
                f"compare takes different files, one a path; {len(paths)} paths hold "
                f"{len(gathered.documents)}"
            )
        return list(gathered.documents)

    def packs(
        self,
        gathered: Gathered,
        *,
        question_tokens: int,
        splits: bool = False,
        question: str = "",
        slack_tokens: int = SLACK_TOKENS,
    ) -> tuple[Pack, ...]:
        """The Packs to ask, with room for a question and its answer beside each.

        `slack_tokens` more are there where the window has them.
        """
        packs = make_packs(
            gathered,
            self.sources,
            root=self.settings.root,
            count=self.model.count,
            budget=Budget(self.model.window, self.model.overhead + question_tokens),
            splits=splits or self.sources.split,
            question=question,
        )
        if len(packs) > 1:
            self.screen.note(
                f"more than the window of {self.model.window:,} tokens holds: "
                f"read in {len(packs)} parts"
            )
        for cut in packs[0].cuts:
            self.screen.note(f"left out {cut.span} ({cut.num_tokens:,} tokens): {cut.reason}")
        for item in packs[0].skipped if self.screen.verbose else ():
            self.screen.note(f"skipped {item.name}: {item.reason}")
        if self.show_manifest:
            for pack in packs:
                self.screen.note(manifest_as_text(pack))
        self._take(packs)
        most = max(pack.num_tokens for pack in packs)
        known = find(self.model.name)
        if known and known.finds_in and most > known.finds_in:
            self.screen.note(
                f"{most:,} tokens are more than the {known.finds_in:,} in which {known.name} was "
                "seen to find what it is asked for: check every answer, or use --split"
            )
        self._make_room(most, question_tokens, slack_tokens)
        return packs

    def packs_each(
        self, gathered: Gathered, *, question_tokens: int, question: str = ""
    ) -> dict[str, tuple[Pack, ...]]:
        """The Packs of each Document by itself, by its name."""
        groups: dict[str, tuple[Pack, ...]] = {}
        skipped = gathered.skipped
        for document in gathered.documents:
            alone = Gathered((document,), skipped, gathered.files)
            groups[document.name] = self.packs(
                alone, question_tokens=question_tokens, question=question
            )
            skipped = ()
        packs = tuple(pack for group in groups.values() for pack in group)
        self._take(packs)
        most = max(pack.num_tokens for pack in packs)
        beside = WIDTH * (most + question_tokens) if most <= SHORT_TOKENS else 0
        self._make_room(most, question_tokens, max(SLACK_TOKENS, beside))
        return groups

    def take_whole(self, documents: Sequence[Document], *, question_tokens: int) -> None:
        """Take in Documents whose passages will stand in the questions themselves."""
        packs = make_packs(
            Gathered(tuple(documents), ()),
            self.sources,
            root=self.settings.root,
            count=self.model.count,
            budget=None,
            splits=False,
        )
        if self.show_manifest:
            self.screen.note(manifest_as_text(packs[0]))
        self._take(packs)
        self._make_room(0, question_tokens)

    def _take(self, packs: tuple[Pack, ...]) -> None:
        """Report on the Packs, and keep what is read of them under a name."""
        self.report.packs = packs
        names = [document.name for pack in packs for document in pack.documents]
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        self.model.label = f"{self.command} {names[0][-80:]}{more}"

    def _make_room(
        self, num_tokens: int, question_tokens: int, slack_tokens: int = SLACK_TOKENS
    ) -> None:
        """Plan for the prompt, its question, and some more where the window has it.

        `near` is how many characters of passages there is room for beside the question.
        """
        needed = num_tokens + self.model.overhead + question_tokens
        self.room = min(self.model.window, needed + slack_tokens)
        # each of its characters may be a token
        spare = max(0, self.room - needed)
        self.near = min(BESIDE, spare) if num_tokens <= NEAR_TOKENS else 0

    def session(
        self, stream: Callable[[str], None], end_stream: Callable[[], None] = lambda: None
    ) -> Session:
        """The Session that asks of the Packs, with the room that was made for them."""
        return Session(self.model, self.room, self.screen, self.progress, stream, end_stream)

    def finish(self, job: Job) -> Result:
        """The job's Result, asked, shown and reported."""
        session = self.session(self.report.stream, self.report.end_stream)
        self.report.usage = session.usage
        try:
            result = drive(
                job,
                session.ask,
                self.report.show,
                ask_each=session.ask_each,
                proofread=session.proofread,
            )
        finally:
            self.progress.pause()
            session.close()
        self.report.finish(result)
        if looped := session.usage.answers_looped:
            noun = "answer was" if looped == 1 else "answers were"
            self.screen.note(f"{looped} {noun} stopped for saying the same again and again")
        if cut := session.usage.answers_cut:
            noun = "answer was" if cut == 1 else "answers were"
            self.screen.note(f"{cut} {noun} cut short (--max-tokens allows longer ones)")
        if recall := session.usage.recall:
            self.screen.note(
                f"{recall.median:.1%} of full attention kept (median of {recall.checked:,} checks, "
                f"least {recall.least:.1%})"
            )
        if session.usage.longest is not None:
            remember(self.settings.root, self.model.speed_key, session.usage.longest)
        return result
