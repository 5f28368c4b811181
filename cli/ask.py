"""`longctx ask`: one question over everything."""

from __future__ import annotations

from typing import Annotated

import typer

from longctx.cli.failure import UsageFault, tell_failure
from longctx.cli.options import ModelOptions, OutputOptions, Paths, SourceOptions


def ask(
    question: Annotated[str, typer.Option("-q", "--question", help="The question.")],
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    watch: Annotated[
        bool, typer.Option("--watch", help="Answer again when a file changes, until Ctrl-C.")
    ] = False,
    paths: Paths = None,
    least: Annotated[
        float | None,
        typer.Option(
            help="Say it is not in the text where the model's chance that it is is below this.",
            show_default="0.6 for the default model, else 0",
            min=0.0,
            max=1.0,
        ),
    ] = None,
) -> int:
    """Answer one question, with the sentences that prove it.

    Everything at PATHS is read as one prompt; each proof is searched in it and shown with its
    place. The default model is first asked whether the answer is there at all, another one with
    --least, and JSON has the chance. What an answer names and the text does not have is listed.

    Examples:
        longctx ask ./papers -q "Which of them measure memory?"
        pdftotext law.pdf - | longctx ask -q "Who may appeal, and when?"
    """
    if not watch:
        _answer(question, sources, model, output, paths, least)
        return 0
    from longctx.cli.watch import look, wait_for_change

    if not paths or "-" in paths or sources.rev or sources.diff:
        raise UsageFault("--watch needs paths of files, without - and --rev and --diff")
    seen = look(paths, sources, output.output)
    _answer(question, sources, model, output, paths, least)
    while True:
        seen = wait_for_change(paths, sources, seen, output.output)
        try:
            _answer(question, sources, model, output, paths, least)
        except BrokenPipeError:
            raise
        except Exception as error:
            # the next change may mend it
            tell_failure(error, verbose=output.verbose)


def _answer(
    question: str,
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    paths: list[str] | None,
    least: float | None,
) -> None:
    """Read, ask and report."""
    from longctx.cli.run import Run
    from longctx.prompts.ask import BEFORE
    from longctx.prompts.ask import ask as job
    from longctx.runtime.catalog import find

    run = Run("ask", sources, model, output)
    tokens = model.max_tokens or 512
    with run:
        packs = run.packs(
            run.gather(paths), question_tokens=len(question) + 2 * tokens, question=question
        )
        if least is None:
            known = find(run.model.name)
            least = known.least if known else 0.0
        gates = (BEFORE,) if least > 0 else ()
        run.finish(job(packs, question, max_tokens=tokens, gates=gates, least=least))
