"""`longctx review`: the defects of every file, each proved by its line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.failure import UsageFault
from longctx.cli.options import Format, ModelOptions, OutputOptions, Paths, SourceOptions

if TYPE_CHECKING:
    from longctx.cli.run import Run
    from longctx.prompts.question import Answer, Piece, Question


class Severity(StrEnum):
    """How bad a finding is, worst first."""

    high = "high"
    medium = "medium"
    low = "low"


def review(
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    paths: Paths = None,
    deep: Annotated[
        bool | None,
        typer.Option(
            "--deep/--no-deep",
            help="Let the model read every function for what it would have written otherwise; "
            "a large one is always asked for defects of its own.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Let the model say what each computed finding means.")
    ] = True,
    fail_on: Annotated[
        Severity | None, typer.Option(help="Exit with 1 on a finding this bad or worse.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="Hide what FILE, an earlier JSON or SARIF, already has.", metavar="FILE"),
    ] = None,
    ignore: Annotated[
        Path | None,
        typer.Option(help="Suppress what FILE lists: `kind glob` or an id a line.", metavar="FILE"),
    ] = None,
    json_output: Annotated[
        Path | None, typer.Option(help="Write JSON to FILE as well.", metavar="FILE")
    ] = None,
    sarif_output: Annotated[
        Path | None, typer.Option(help="Write SARIF 2.1.0 to FILE as well.", metavar="FILE")
    ] = None,
) -> int:
    """List the defects of every file, each with its line.

    What can be computed from the code is computed and shown with the line that proves it; then the
    model, if there is one, says what it means. --deep also lets the model read every function for
    what it would have written otherwise; a large model is asked for defects of its own, too. Both
    are marked as its opinion. Of a diff (--diff, or piped in) what touches an added line is shown,
    where the new files are here; where none is, the model is asked. --focus security, correctness,
    refactor or performance keeps what belongs to it. A comment `longctx: ignore[kind]` suppresses
    a finding on its line.

    Examples:
        longctx review ./repo --fail-on high
        longctx review ./repo --focus security --sarif-output review.sarif
        git diff | longctx review -
    """
    from longctx.cli.changes import find_changes
    from longctx.cli.drive import drive
    from longctx.cli.packing import make_packs
    from longctx.cli.run import Run
    from longctx.prompts.budget import estimate
    from longctx.prompts.finding import FOCUS, Finding
    from longctx.prompts.review import review as job

    words = {word for word in sources.focus.replace(",", " ").split() if word in FOCUS}
    if words:
        sources = replace(sources, focus="")
    known, ignored = _known(baseline), _ignored(ignore)
    tokens = model.max_tokens or 512
    extra = [(Format.json, json_output), (Format.sarif, sarif_output)]
    run = Run("review", sources, model, output)
    run.report.also([(form, path) for form, path in extra if path is not None])
    with run:
        gathered = run.gather(paths)
        changes = find_changes(gathered.documents, paths, sources)
        for name in changes.unknown:
            run.screen.note(f"{name} is not here as the diff has it: nothing is computed of it")
        large = None
        if explain or deep is not False:
            large = _is_large(run, named=bool(deep) or model.model is not None)
            explain = explain and large is not None
        # where nothing can be computed the model is asked, whichever it is
        unknown = changes.unknown and (deep or not changes.known)
        asks = deep is not False and bool(large or unknown)
        if asks:
            packs = run.packs(gathered, question_tokens=500 + tokens, splits=True)
        else:
            packs = make_packs(
                gathered,
                sources,
                root=run.settings.root,
                count=estimate,
                budget=None,
                splits=False,
            )
            run.report.packs = packs
            if explain or deep:
                room = 2_000 + tokens
                if deep:
                    from longctx.runtime.proofreading import MOST_READ

                    files = [*gathered.documents, *(one.file for one in changes.known)]
                    room += min(MOST_READ, max(run.model.count(one.text) for one in files))
                run.take_whole(gathered.documents, question_tokens=room)
        asked = job(
            packs,
            changes=changes.known,
            opinion=asks,
            proofread=bool(deep),
            explain=explain,
            focus=words,
            known=known,
            ignored=ignored,
            max_tokens=tokens,
        )
        if asks or deep or explain:
            result = run.finish(asked)
        else:
            result = drive(asked, _no_question, run.report.show)
            run.report.finish(result)
    ranks = list(Severity)
    shown = [one for one in result.pieces if isinstance(one, Finding) and not one.suppressed]
    return int(fail_on is not None and _worst(shown) <= ranks.index(fail_on))


def _is_large(run: Run, *, named: bool) -> bool | None:
    """Whether the model is large enough to find defects; None where none is in the store.

    Raises:
        ModelError: the model that the user named is not there.
    """
    from longctx.runtime.errors import ModelError

    try:
        return run.model.is_large
    except ModelError:
        if named:
            raise
        run.screen.note("no model in the store: what the findings mean is not told")
        return None


def _no_question(question: Question) -> Answer:
    raise AssertionError(f"nothing is asked without a model: {question.text}")


def _worst(findings: Iterable[Piece]) -> int:
    ranks = list(Severity)
    return min((ranks.index(Severity(one.label)) for one in findings), default=len(ranks))


def _known(path: Path | None) -> frozenset[str]:
    """The fingerprints in an earlier result.

    Raises:
        UsageFault: it cannot be read, or is neither JSON nor SARIF of a review.
    """
    import json

    if path is None:
        return frozenset()
    try:
        found = json.loads(_text(path, "--baseline"))
        if "runs" in found:
            results = [one for run in found["runs"] for one in run.get("results", ())]
            return frozenset(one["partialFingerprints"]["longctx/v1"] for one in results)
        return frozenset(one["id"] for one in found["findings"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageFault(
            f"--baseline {str(path)!r} is no result of longctx review",
            "write one with --json-output or --sarif-output",
        ) from None


def _ignored(path: Path | None) -> tuple[str, ...]:
    """The lines of an ignore file that say something."""
    if path is None:
        return ()
    lines = (line.split("#")[0].strip() for line in _text(path, "--ignore").splitlines())
    return tuple(line for line in lines if line)


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageFault(f"{option} {str(path)!r} cannot be read: {reason}") from None
