"""`longctx ask`: one question over everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longctx.cli.failure import UsageFault, tell_failure
from longctx.cli.options import ModelOptions, OutputOptions, Paths, SourceOptions


def ask(
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    question: Annotated[str, typer.Option("-q", "--question", help="The question.")] = "",
    fields: Annotated[
        str, typer.Option(metavar="NAMES", help="Fill in these fields, with commas, instead.")
    ] = "",
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer in JSON that follows this JSON schema."),
    ] = None,
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
    With --fields or --schema the answer is a form: each value with the sentence it is from, and
    with --format json the whole of it under "data".

    Examples:
        longctx ask ./papers -q "Which of them measure memory?"
        longctx ask lease.pdf --fields "landlord, tenant, monthly rent"
        pdftotext law.pdf - | longctx ask -q "Who may appeal, and when?"
    """
    form = _form(question, fields, schema)
    if not watch:
        _answer(question, form, sources, model, output, paths, least)
        return 0
    from longctx.cli.watch import look, wait_for_change

    if not paths or "-" in paths or sources.rev or sources.diff:
        raise UsageFault("--watch needs paths of files, without - and --rev and --diff")
    seen = look(paths, sources, output.output)
    _answer(question, form, sources, model, output, paths, least)
    while True:
        seen = wait_for_change(paths, sources, seen, output.output)
        try:
            _answer(question, form, sources, model, output, paths, least)
        except BrokenPipeError:
            raise
        except Exception as error:
            # the next change may mend it
            tell_failure(error, verbose=output.verbose)


def _form(question: str, fields: str, schema: Path | None) -> str:
    """The JSON schema that the answer follows, "" where it is free."""
    from longctx.prompts.extract import fields_schema

    if fields and schema is not None:
        raise UsageFault("--fields and --schema are two ways to say the same: give one of them")
    if fields:
        names = list(dict.fromkeys(name for one in fields.split(",") if (name := one.strip())))
        if not names:
            raise UsageFault(f"--fields {fields!r} has no names, expected some, with commas")
        return fields_schema(names)
    if schema is None:
        if not question.strip():
            raise UsageFault("nothing is asked", 'give -q "..." or --fields "...", or --schema')
        return ""
    try:
        found = json.loads(schema.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageFault(f"--schema {schema}: cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageFault(f"--schema {schema}: expected an object, found {json.dumps(found)[:40]}")
    return json.dumps(found, ensure_ascii=False)


def _answer(
    question: str,
    form: str,
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
    from longctx.prompts.extract import extract
    from longctx.runtime.catalog import find

    run = Run("ask", sources, model, output)
    tokens = model.max_tokens or 512
    with run:
        gathered = run.gather(paths)
        if form:
            # before anything is read for it
            run.model.grammar(form)
        room = len(question) + len(form) + 2 * tokens
        packs = run.packs(gathered, question_tokens=room, question=question)
        if form:
            run.finish(extract(packs, question, form, max_tokens=tokens))
            return
        if least is None:
            known = find(run.model.name)
            least = known.least if known else 0.0
        gates = (BEFORE,) if least > 0 else ()
        run.finish(job(packs, question, max_tokens=tokens, gates=gates, least=least))
