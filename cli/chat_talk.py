"""A conversation at work: the Documents, what was said of them, and the Session that answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.cli.chat_record import Exchange, Record, save_record
from longctx.cli.drive import drive
from longctx.cli.failure import UsageFault
from longctx.cli.gather import Gathered
from longctx.cli.progress import duration
from longctx.cli.render import citation_as_text, warnings_as_text
from longctx.cli.run import Run
from longctx.cli.screen import Screen
from longctx.cli.session import Session
from longctx.prompts.ask import EVIDENCE_TOKENS
from longctx.prompts.chat import asked, chat
from longctx.prompts.citation import locate
from longctx.prompts.question import Citation, Turn

if TYPE_CHECKING:
    from longctx.ingest.document import Document
    from longctx.prompts.pack import Pack

# What a conversation may grow to before its first turns are forgotten, where the window has it.
TALK_TOKENS = 8_192
# The request for proofs, with the template's words around it.
_REQUEST_TOKENS = EVIDENCE_TOKENS + 160


class Talk:
    """Answers one question after the other; what was read before each stays read."""

    def __init__(
        self, run: Run, record: Record, max_tokens: int, least: float | None = None
    ) -> None:
        """Read the Documents, and tell which of them are no longer what they were."""
        self.run = run
        self.record = record
        self._max_tokens = max_tokens
        self._least = run.model.least if least is None else least
        self._session: Session | None = None
        self._first = 0
        self.files: Mapping[str, Path] = {}
        self.pack = self._read(record.paths)
        self._tell_changes()
        self._locate_again()

    @property
    def citations(self) -> list[Citation]:
        """The sources of all answers, in the order of their numbers, which begin with 1."""
        return [one for exchange in self.record.exchanges for one in exchange.citations]

    def document(self, name: str) -> Document:
        """The Document of that name."""
        return next(found for found in self.pack.documents if found.name == name)

    def ask(self, question: str, check: Callable[[], None]) -> None:
        """Answer, show the sources, and keep both; what KeyboardInterrupt left of an answer too."""
        session, screen = self._open(), self.run.screen
        turns, near = self._turns(session, question)
        # a question often leaves out what the one before it named
        about = " ".join(one.question for one in self.record.exchanges[-1:])
        words = _Words(screen)
        session.stream, session.end_stream, session.check = words.take, words.end, check
        before, cut = replace(session.usage), session.usage.answers_cut
        try:
            job = chat(
                self.pack,
                question,
                turns,
                max_tokens=self._max_tokens,
                about=about,
                near=near,
                least=self._least,
            )
            result = drive(job, session.ask, self.run.report.show)
            if not words.text:
                # no model wrote that it is not there
                words.take(result.text)
        except KeyboardInterrupt:
            if words.text:
                self._keep(Exchange(question, words.text))
            raise
        finally:
            self.run.progress.pause()
            words.end()
        first = len(self.citations) + 1
        self._keep(Exchange(question, result.text, result.citations))
        for number, citation in enumerate(result.citations, first):
            screen.write(f"  [{number}] {citation_as_text(citation)}\n")
        for line in warnings_as_text(result):
            screen.write(f"  {line}\n")
        screen.write("\n")
        if dropped := result.counts["quotes_not_found"]:
            noun = "quote was" if dropped == 1 else "quotes were"
            screen.note(f"{dropped} {noun} not found in the documents, and left out")
        if session.usage.answers_cut > cut:
            screen.note(f"cut at {self._max_tokens:,} tokens (--max-tokens allows more)")
        read = session.usage.tokens_read - before.tokens_read
        reading = session.usage.reading_seconds - before.reading_seconds
        written = session.usage.tokens_written - before.tokens_written
        writing = session.usage.writing_seconds - before.writing_seconds
        screen.detail(
            f"read {read:,} tokens in {duration(reading)}, wrote {written:,} in {duration(writing)}"
        )

    def add(self, paths: Sequence[str]) -> None:
        """Take in more Documents, after those that are there.

        Raises:
            UsageFault: they hold nothing new.
            OverBudget: they do not fit; all stays as it was.
        """
        groups = (*self.record.paths, tuple(paths))
        files, before = self.files, {found.name for found in self.pack.documents}
        try:
            pack = self._read(groups)
            new = [found.name for found in pack.documents if found.name not in before]
            if not new:
                raise UsageFault(f"there is nothing new in {' '.join(paths)}")
        except Exception:
            self.files = files
            raise
        self.pack = pack
        self._keep_record(replace(self.record, paths=groups, digests=_digests(pack.documents)))
        if self._session is not None and self.run.room > self._session.room:
            self.close()
        self.run.screen.note(f"added {', '.join(new[:3])}{', ...' if len(new) > 3 else ''}")

    def close(self) -> None:
        """Wait until what was read is stored; the next question loads the engine again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open(self) -> Session:
        if self._session is None:
            self._session = self.run.session(lambda words: None)
        return self._session

    def _read(self, groups: Iterable[Sequence[str]]) -> Pack:
        gathered = joined([(group, self.run.gather(group)) for group in groups])
        question_tokens = 2 * self._max_tokens + _REQUEST_TOKENS
        packs = self.run.packs(gathered, question_tokens=question_tokens, slack_tokens=TALK_TOKENS)
        self.files = gathered.files
        return packs[0]

    def _turns(self, session: Session, question: str) -> tuple[tuple[Turn, ...], int]:
        """What was said before, as far as there is room for it beside the question and passages.

        And how many characters of passages there is room for.
        """
        model, exchanges = session.model, self.record.exchanges
        while True:
            said = exchanges[self._first :]
            turns = tuple(Turn(asked(one.question), one.answer) for one in said)
            prompt = model.prompt(self.pack.text, asked(question), "", turns)
            needed = len(prompt.prefix_ids) + len(prompt.question_ids) + self._max_tokens
            left = session.room - needed - _REQUEST_TOKENS
            if not turns or left >= self.run.near:
                return turns, max(0, min(self.run.near, left))
            # half of them, so that it is long until the rest has to be read anew again
            self._first += (len(turns) + 1) // 2
            self.run.screen.note(
                f"no room for the whole conversation: the model no longer sees its first "
                f"{self._first} turns"
            )

    def _tell_changes(self) -> None:
        digests = _digests(self.pack.documents)
        if self.record.digests and (names := self.record.changed(digests)):
            more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
            self.run.screen.note(
                f"changed since the last turn, read as it is now: {', '.join(names[:5])}{more}; "
                "earlier answers are on the old text"
            )
        self.record = replace(self.record, digests=digests)

    def _locate_again(self) -> None:
        """Search the quotes of earlier runs in the Documents as they are now."""

        def again(old: Citation) -> Citation:
            found = locate(old.quote, self.pack)
            return replace(old, span=found.span, state=old.state if found.span else "unverified")

        said = tuple(
            replace(one, citations=tuple(map(again, one.citations)))
            for one in self.record.exchanges
        )
        self.record = replace(self.record, exchanges=said)

    def _keep(self, exchange: Exchange) -> None:
        self._keep_record(replace(self.record, exchanges=(*self.record.exchanges, exchange)))

    def _keep_record(self, record: Record) -> None:
        self.record = record
        save_record(self.run.settings.root, record)


class _Words:
    """The words of an answer as they come; white space waits for what follows it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._waiting = ""
        self._ended = False
        self.text = ""

    def take(self, words: str) -> None:
        """Show words."""
        words = self._waiting + words if self.text else words.lstrip()
        shown = words.rstrip()
        self._waiting = words[len(shown) :]
        if shown:
            self._screen.write(shown)
            self.text += shown

    def end(self) -> None:
        """End the line."""
        if self.text and not self._ended:
            self._screen.write("\n")
            self._ended = True


def joined(groups: Sequence[tuple[Sequence[str], Gathered]]) -> Gathered:
    """All that was gathered, in order, each file once and each name once."""
    documents: dict[str, Document] = {}
    files: dict[str, Path] = {}
    skipped = [item for _, gathered in groups for item in gathered.skipped]
    for paths, gathered in groups:
        known = set(files.values())
        for document in gathered.documents:
            file, name = gathered.files.get(document.name), document.name
            if file in known:
                continue
            if name in documents and file is not None:
                # a directory alone gives names that begin below it
                name = f"{os.path.normpath(paths[0])}/{name}"
            if name in documents:
                continue
            documents[name] = replace(document, name=name)
            if file is not None:
                files[name] = file
    return Gathered(tuple(documents.values()), tuple(dict.fromkeys(skipped)), files)


def _digests(documents: Iterable[Document]) -> dict[str, str]:
    return {document.name: document.digest for document in documents}
