"""`longctx ask`: one question over everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.failure import UsageFault, tell_failure
from longctx.cli.options import Least, ModelOptions, OutputOptions, Paths, SourceOptions
from longctx.cli.output_file import check_writable, write_whole
from longctx.cli.screen import clean

if TYPE_CHECKING:
    from longctx.cli.run import Run
    from longctx.prompts.pack import Pack
    from longctx.prompts.question import Job


def ask(
    *,
    question: Annotated[str, typer.Option("-q", "--question", help="The question.")] = "",
    fields: Annotated[
        str, typer.Option(metavar="NAMES", help="Fill in these fields, with commas, instead.")
    ] = "",
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer in JSON that follows this JSON schema."),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Ask each document by itself.")] = False,
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    csv_output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a table to FILE too, a row for each document."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Answer again when a file changes, until Ctrl-C.")
    ] = False,
    paths: Paths = None,
    least: Least = None,
) -> int:
    """Answer one question, with the sentences that prove it.

    Everything at PATHS is read as one prompt, and the passages that share words with the question
    once more beside it; each proof is searched in the text and shown with its place. The default
    model is first asked whether the answer is there at all, and last whether it is right by its
    proofs alone, which is told where it doubts that; another one with --least. JSON has both
    chances. What an answer names and the text does not have is listed. With --fields or --schema
    the answer is a form: each value with the sentence it is from, and with --format json the whole
    of it under "data". With --each every document has an answer or a form of its own.

    Examples:
        longctx ask ./papers -q "Which of them measure memory?"
        longctx ask lease.pdf --fields "landlord, tenant, monthly rent"
        longctx ask ./invoices --fields "date, sender, total" --each --csv-output invoices.csv
        pdftotext law.pdf - | longctx ask -q "Who may appeal, and when?"
    """
    asked = Asked(question, _schema(question, fields, schema), each, csv_output, least)
    if asked.schema and least is not None:
        raise UsageFault("--least is for a question, a form leaves open what is not there")
    if csv_output is not None:
        if not (asked.schema or each):
            raise UsageFault("--csv-output is for --fields, --schema and --each")
        if watch:
            raise UsageFault("--csv-output does not go with --watch, which it would wake")
        check_writable(csv_output)
    if not watch:
        _answer(asked, sources, model, output, paths)
        return 0
    from longctx.cli.watch import look, wait_for_change

    if not paths or "-" in paths or sources.rev or sources.diff:
        raise UsageFault("--watch needs paths of files, without - and --rev and --diff")
    seen = look(paths, sources, output.output)
    _answer(asked, sources, model, output, paths)
    while True:
        seen = wait_for_change(paths, sources, seen, output.output)
        try:
            _answer(asked, sources, model, output, paths)
        except BrokenPipeError:
            raise
        except Exception as error:
            # the next change may mend it
            tell_failure(error, verbose=output.verbose)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: a question, or with a JSON `schema` a form to fill in, of all or of `each`."""

    question: str
    schema: str
    each: bool
    csv_output: Path | None
    least: float | None


def _schema(question: str, fields: str, schema: Path | None) -> str:
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
    asked: Asked,
    sources: SourceOptions,
    model: ModelOptions,
    output: OutputOptions,
    paths: list[str] | None,
) -> None:
    """Read, ask and report."""
    from longctx.cli.form_table import form_table
    from longctx.cli.run import Run

    run, question = Run("ask", sources, model, output), asked.question
    tokens = model.max_tokens or 512
    room = len(question) + len(asked.schema) + 2 * tokens
    with run:
        gathered = run.gather(paths)
        if asked.schema:
            # before anything is read for it
            run.model.grammar(asked.schema)
        if asked.each:
            groups = run.packs_each(gathered, question_tokens=room, question=question)
        else:
            names = ", ".join(document.name for document in gathered.documents)
            groups = {names: run.packs(gathered, question_tokens=room, question=question)}
        result = run.finish(_job(run, groups, asked, tokens))
        if asked.csv_output is not None:
            table = result.data if asked.each else dict.fromkeys(groups, result.data)
            write_whole(asked.csv_output, clean(form_table(table)))
            run.screen.note(f"wrote {asked.csv_output}")


def _job(run: Run, groups: Mapping[str, Sequence[Pack]], asked: Asked, tokens: int) -> Job:
    """The job: a form or an answer, for each of the groups by its name or for the only one."""
    from longctx.prompts.ask import BEFORE, SOURCES, ask_each
    from longctx.prompts.ask import ask as ask_all
    from longctx.prompts.extract import extract, extract_each

    (packs, *_) = groups.values()
    question, schema, least = asked.question, asked.schema, asked.least
    if schema and asked.each:
        return extract_each(groups, question, schema, max_tokens=tokens, near=run.near)
    if schema:
        return extract(packs, question, schema, max_tokens=tokens, near=run.near)
    least = run.model.least if least is None else least
    gates = (BEFORE, SOURCES) if least > 0 else ()
    if asked.each:
        return ask_each(
            groups, question, max_tokens=tokens, gates=gates, least=least, near=run.near
        )
    return ask_all(packs, question, max_tokens=tokens, gates=gates, least=least, near=run.near)
