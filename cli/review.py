"""`longctx review`: the defects of every file, each proved by its line."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from longctx.cli.options import ModelOptions, OutputOptions, Paths, SourceOptions


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
    fail_on: Annotated[
        Severity | None, typer.Option(help="Exit with 1 on a finding this bad or worse.")
    ] = None,
) -> int:
    """List the defects of every file, each with its line.

    Every file at PATHS is asked; a finding whose line is not in the file is dropped, and one that
    the model is unsure of is held back. Both are counted.

    Examples:
        longctx review ./repo --fail-on high
        git diff | longctx review -
    """
    from longctx.cli.run import Run
    from longctx.prompts.review import review as job

    tokens = model.max_tokens or 512
    run = Run("review", sources, model, output)
    with run:
        packs = run.packs(run.gather(paths), question_tokens=500 + tokens, splits=True)
        result = run.finish(job(packs, max_tokens=tokens))
    ranks = list(Severity)
    worst = min((ranks.index(Severity(piece.label)) for piece in result.pieces), default=len(ranks))
    return int(fail_on is not None and worst <= ranks.index(fail_on))
