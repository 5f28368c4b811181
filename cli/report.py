"""Puts a run on the screen as it goes, or at its end, or into a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.cli.failure import UsageFault
from longctx.cli.findings import findings_fields
from longctx.cli.options import Format, OutputOptions
from longctx.cli.output_file import check_writable, write_whole
from longctx.cli.render import DRESSES, as_json, asked_fields, result_fields, span_fields, whole
from longctx.cli.sarif import sarif
from longctx.cli.screen import Screen, clean, clean_json
from longctx.prompts.finding import Finding, explained
from longctx.prompts.question import Piece, Result

if TYPE_CHECKING:
    from longctx.cli.session import Usage
    from longctx.prompts.pack import Pack

_DOCUMENTS = (Format.json, Format.sarif)


class Report:
    """What one run has to show; the same shape whether it ended well or not."""

    def __init__(self, job: str, screen: Screen, options: OutputOptions) -> None:
        """Show nothing yet.

        Raises:
            UsageFault: SARIF is asked for, and the job has no findings.
        """
        if options.format is Format.sarif and job != "review":
            raise UsageFault(f"--format sarif is for longctx review, not {job}")
        self._job = job
        self._screen = screen
        self._options = options
        self._streaming = (
            options.format not in _DOCUMENTS and options.output is None and not options.no_stream
        )
        self._also: Sequence[tuple[Format, Path]] = ()
        self._pieces: list[Piece] = []
        self._streamed = ""
        self._ended = False
        self._waiting = ""
        self._began = time.monotonic()
        self.packs: Sequence[Pack] = ()
        self.model = ""
        self.usage: Usage | None = None

    def also(self, files: Sequence[tuple[Format, Path]]) -> None:
        """Write the result to these files too, whatever becomes of the run.

        Raises:
            UsageFault: one of them cannot be written.
        """
        for _, path in files:
            check_writable(path)
        self._also = files

    def show(self, piece: Piece) -> None:
        """Take a Piece, and write it if the run streams."""
        self._pieces.append(piece)
        if self._streaming:
            label, rest = DRESSES[self._options.format].piece(piece)
            self._screen.write(label, style=label)
            self._screen.write(rest)

    def stream(self, words: str) -> None:
        """Take words of the closing text as they come; white space waits for what follows it."""
        words = self._waiting + words if self._streamed else words.lstrip()
        shown = words.rstrip()
        self._waiting = words[len(shown) :]
        if not shown:
            return
        if self._streaming:
            if not self._streamed:
                self._screen.write(DRESSES[self._options.format].opening(self._pieces))
            self._screen.write(shown)
        self._streamed += shown

    def end_stream(self) -> None:
        """End the line of streamed words, so that what stderr says next has its own."""
        if self._streaming and self._streamed and not self._ended:
            self._screen.write("\n")
            self._ended = True

    def finish(self, result: Result) -> None:
        """Write what is not written yet."""
        self._write_also(result, None)
        if self._options.format in _DOCUMENTS:
            self._put(self._document(self._options.format, result, None))
        elif not self._streaming:
            self._put(whole(result, self._options.format))
        else:
            dress = DRESSES[self._options.format]
            if result.text and not self._streamed:
                self._screen.write(f"{dress.opening(self._pieces)}{result.text}")
            newline = "\n" if result.text and not self._ended else ""
            self._screen.write(newline + dress.closing(result))

    def fail(self, error: BaseException) -> None:
        """Write what is done; JSON says what went wrong, text leaves that to stderr."""
        done = Result(self._job, pieces=tuple(self._pieces), text=self._streamed)
        self._write_also(done, error)
        if self._options.format in _DOCUMENTS:
            self._put(self._document(self._options.format, done, error))
        elif self._streaming:
            self.end_stream()
        elif self._pieces or self._streamed:
            self._put(whole(done, self._options.format))

    def _write_also(self, result: Result, error: BaseException | None) -> None:
        for form, path in self._also:
            write_whole(path, clean_json(self._document(form, result, error)))
            self._screen.note(f"wrote {path}")

    def _document(self, form: Format, result: Result, error: BaseException | None) -> str:
        """The run as a document that is whole or not written at all: JSON or SARIF."""
        result = replace(result, pieces=explained(result.pieces))
        if form is Format.json:
            return as_json(self._payload(result, error))
        return as_json(sarif([one for one in result.pieces if isinstance(one, Finding)], error))

    def _put(self, text: str) -> None:
        """Write a whole result to its file or to stdout."""
        json = self._options.format in _DOCUMENTS
        if self._options.output is not None:
            write_whole(self._options.output, clean_json(text) if json else clean(text))
            self._screen.note(f"wrote {self._options.output}")
        elif json:
            self._screen.write_json(text)
        else:
            self._screen.write(text)

    def _payload(self, result: Result, error: BaseException | None) -> dict[str, Any]:
        """The versioned JSON of the run: fields are only ever added."""
        usage = self.usage
        return {
            "schema": f"longctx.{self._job}/1",
            "version": version("longctx-cli"),
            "model": self.model,
            "complete": error is None,
            "error": None if error is None else error_fields(error),
            **result_fields(result),
            **({"findings": findings_fields(result.pieces)} if self._job == "review" else {}),
            **(asked_fields(result) if self._job == "ask" else {}),
            **packs_fields(self.packs),
            "usage": {
                "questions": usage.questions if usage else 0,
                "answers_cut": usage.answers_cut if usage else 0,
                "answers_looped": usage.answers_looped if usage else 0,
                "tokens_read": usage.tokens_read if usage else 0,
                "tokens_written": usage.tokens_written if usage else 0,
                "tokens_foreseen": usage.tokens_foreseen if usage else 0,
                "recall": asdict(usage.recall) if usage and usage.recall else None,
            },
            "timing": {
                "total_seconds": round(time.monotonic() - self._began, 3),
                "reading_seconds": round(usage.reading_seconds, 3) if usage else 0.0,
                "writing_seconds": round(usage.writing_seconds, 3) if usage else 0.0,
            },
        }


def error_fields(error: BaseException) -> dict[str, Any]:
    """The fields of a failure for JSON."""
    interrupted = isinstance(error, KeyboardInterrupt)
    return {
        "kind": type(error).__name__,
        "message": "stopped" if interrupted else str(error),
        "hint": getattr(error, "hint", ""),
    }


def packs_fields(packs: Sequence[Pack]) -> dict[str, Any]:
    """The fields of what was read and what was left out, for JSON."""
    return {
        "documents": [
            {
                "name": part.document.name,
                "kind": part.document.kind,
                "digest": part.document.digest,
                "num_tokens": part.num_tokens,
                "whole": part.whole,
                "notes": list(part.document.notes),
                "part": number,
            }
            for number, pack in enumerate(packs, 1)
            for part in pack.parts
        ],
        "skipped": [
            {"name": item.name, "reason": item.reason}
            for item in dict.fromkeys(item for pack in packs for item in pack.skipped)
        ],
        "cuts": [
            {"span": span_fields(cut.span), "num_tokens": cut.num_tokens, "reason": cut.reason}
            for cut in dict.fromkeys(cut for pack in packs for cut in pack.cuts)
        ],
    }
