"""`longctx summarize`: every part, then the whole."""

from __future__ import annotations

from longctx.cli.options import ModelOptions, OutputOptions, Paths, SourceOptions


def summarize(
    sources: SourceOptions, model: ModelOptions, output: OutputOptions, paths: Paths = None
) -> int:
    """Summarize every part and its place, then the whole.

    Parts are chapters, sections or files; of each the sentences that say most are quoted, and the
    model says what happens in it: a large one from all it has read, a small one page by page.

    Examples:
        longctx summarize book.txt
        cat book.txt | longctx summarize | less
    """
    from longctx.cli.run import Run
    from longctx.prompts.summarize import summarize as job

    tokens = model.max_tokens or 512
    run = Run("summarize", sources, model, output)
    with run:
        packs = run.packs(run.gather(paths), question_tokens=700, splits=True)
        run.finish(job(packs, max_tokens=tokens, by_passage=not run.model.is_large))
    return 0
