"""`longctx compare`: what changed between documents, passage by passage."""

from __future__ import annotations

from typing import Annotated

import typer

from longctx.cli.options import ModelOptions, OutputOptions, SourceOptions


def compare(
    paths: Annotated[list[str], typer.Argument(help="Two or more files; - is stdin.")],
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> int:
    """Compare documents passage by passage: what changed.

    The first file is compared with each other one. Passages are aligned by code, and what is the
    same is counted, not asked.

    Examples:
        longctx compare contract-v1.pdf contract-v2.pdf
        git show HEAD~1:LICENSE | longctx compare - LICENSE
    """
    from longctx.cli.failure import UsageFault
    from longctx.cli.run import Run
    from longctx.prompts.compare import compare_each as job

    if len(paths) < 2:
        raise UsageFault(
            f"compare needs two files, got {paths[0]!r} only", "longctx compare OLD NEW"
        )
    run = Run("compare", sources, model, output)
    with run:
        left, *others = run.gather_each(paths)
        # Both passages stand in the question and nothing before it, so that no other clause can
        # leak into what a small model says of these two.
        run.take_whole((left, *others), question_tokens=4_500)
        run.finish(job(left, others, max_tokens=model.max_tokens or 512))
    return 0
