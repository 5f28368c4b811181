"""`longctx bench`: what this machine does with a model, measured."""

from __future__ import annotations

import statistics
from dataclasses import replace
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.failure import UsageFault
from longctx.cli.options import Extend, Format, Quiet, Verbose

if TYPE_CHECKING:
    from longctx.cli.fidelity import Trial
    from longctx.cli.progress import Progress
    from longctx.cli.screen import Screen
    from longctx.runtime.bench import Measured, Setting


class What(StrEnum):
    """What is measured."""

    prefill = "prefill"
    decode = "decode"
    memory = "memory"
    fidelity = "fidelity"


class Temperature(StrEnum):
    """Which length sharpens a row past the native window under Dual Chunk Attention."""

    row = "row"
    total = "total"


# The tokens that are written after the prompt: the first one belongs to the prefill.
WRITTEN = {What.prefill: 1, What.decode: 33, What.memory: 9}
UNITS = {What.prefill: "tokens/s", What.decode: "tokens/s", What.memory: "GiB"}


def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")],
    lengths: Annotated[
        str, typer.Option(help="Prompt lengths in tokens, with commas.")
    ] = "512,2048",
    numerics: Annotated[str, typer.Option(help="Number formats to compare, with commas.")] = "auto",
    kv8: Annotated[
        bool, typer.Option("--kv8", help="Keys and values in 8 bits; not for fidelity.")
    ] = False,
    threads: Annotated[
        str, typer.Option(help="Numbers of threads to compare, with commas; all cores if none.")
    ] = "",
    repeats: Annotated[int, typer.Option(help="Runs of each; medians are shown.", min=1)] = 3,
    model: Annotated[
        str | None, typer.Option(help="A name, a directory or a GGUF file.", metavar="NAME")
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="The text to read, or more of them; Python's own library if not given.",
            metavar="FILE",
        ),
    ] = None,
    attention: Annotated[
        list[str] | None,
        typer.Option(
            help="fidelity: a mode to hold against dense, such as blocks, blocks:max_keys=8192 "
            "or dense/blocks (written words alone); blocks if not given.",
            metavar="MODE",
        ),
    ] = None,
    extend: Annotated[
        Extend, typer.Option(help="fidelity: how to read past the native window.")
    ] = Extend.none,
    dca_temperature: Annotated[
        Temperature,
        typer.Option(help="fidelity: by each row's position, or by the whole length as published."),
    ] = Temperature.row,
    questions: Annotated[int, typer.Option(help="fidelity: questions on each text.", min=1)] = 20,
    samples: Annotated[
        int, typer.Option(help="fidelity: texts of each length from each book.", min=1)
    ] = 1,
    compared_rows: Annotated[
        int, typer.Option(help="fidelity: tokens whose next-token chances are compared.", min=8)
    ] = 512,
    records: Annotated[
        Path,
        typer.Option(help="fidelity: JSON Lines that a stopped run goes on with.", metavar="FILE"),
    ] = Path("fidelity.jsonl"),
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the figures as PNG (needs matplotlib).", metavar="FILE"),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Form of the result.")] = Format.text,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Measure prefill, decoding, memory or fidelity on this machine.

    Each run is a process of its own, and all settings take turns, so that a busy machine burdens
    all alike. Fidelity asks the same questions on the same texts with dense and sparse attention;
    a run that was stopped goes on where it was.

    Examples:
        longctx bench fidelity --lengths 8192,16384 --text emma.txt --text sanguo.txt
        longctx bench prefill --lengths 512,2048,8192
        longctx bench decode --numerics float32,mixed --format json
    """
    from longctx.cli.bench_table import draw, table
    from longctx.cli.fidelity import Trial, read_books
    from longctx.cli.model import model_name, open_model
    from longctx.cli.options import ModelOptions
    from longctx.cli.progress import open_progress
    from longctx.cli.render import as_json
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings
    from longctx.cli.texts import library_text, read_texts
    from longctx.runtime.bench import Setting, machine, run_apart
    from longctx.runtime.fidelity_run import Effort

    if kv8 and what is What.fidelity:
        raise UsageFault("--kv8 is for prefill, decode and memory", "leave out --kv8")
    settings = read_settings()
    screen = Screen(settings, quiet=quiet, verbose=verbose)
    progress = open_progress(screen)
    options = ModelOptions(model=model)
    found = open_model(settings.root, model_name(options, settings), options, None, progress)
    if what is What.fidelity:
        return _fidelity(
            Trial(
                name=found.name,
                directory=found.directory,
                lengths=sorted(set(numbers(lengths, "--lengths"))),
                modes=attention or ["blocks"],
                books=read_books(text or []),
                effort=Effort(questions, samples, compared_rows),
                numerics=numerics,
                extend=extend.value,
                total_temperature=dca_temperature is Temperature.total,
                records=records,
            ),
            screen,
            progress,
            form,
            plot,
            threads,
        )
    base = Setting(
        directory=str(found.directory),
        text="".join(read_texts(text, "")) if text else library_text(),
        num_tokens=0,
        num_written=WRITTEN[what],
        kv8=kv8,
    )
    counts: list[int | None] = [*numbers(threads, "--threads")] or [None]
    wanted = [
        replace(base, num_tokens=length, numerics=mode, threads=count)
        for length, mode, count in product(
            numbers(lengths, "--lengths"),
            [mode.strip() for mode in numerics.split(",")],
            counts,
        )
    ]
    taken: list[list[Measured]] = [[] for _ in wanted]
    for turn in range(repeats):
        for index, setting in enumerate(wanted):
            progress.update(
                f"{what} at {setting.num_tokens:,} tokens",
                turn * len(wanted) + index,
                repeats * len(wanted),
                "runs",
            )
            taken[index].append(run_apart(setting))
    progress.pause()
    rows = [row(what, *pair) for pair in zip(wanted, taken, strict=True)]
    report = {
        "schema": "longctx.bench/1",
        "what": what.value,
        "unit": UNITS[what],
        "model": found.name,
        "text": ", ".join(map(str, text)) if text else "Python's standard library",
        "machine": machine(),
        "rows": rows,
    }
    if plot is not None:
        draw(report, plot)
    if form is Format.json:
        screen.write_json(as_json(report))
    else:
        screen.write(table(report, markdown=form is Format.md))
    return 0


def _fidelity(
    trial: Trial,
    screen: Screen,
    progress: Progress,
    form: Format,
    plot: Path | None,
    threads: str,
) -> int:
    """Hold modes of attention against dense, and show it."""
    from longctx.cli.fidelity import draw, measure, table
    from longctx.cli.render import as_json

    for count in numbers(threads, "--threads")[:1]:
        import torch

        torch.set_num_threads(count)
    report = measure(trial, progress)
    progress.pause()
    if plot is not None:
        draw(report, plot)
    if form is Format.json:
        screen.write_json(as_json(report))
    else:
        screen.write(table(report, markdown=form is Format.md))
    return 0


def numbers(text: str, option: str) -> list[int]:
    """The numbers in a list with commas.

    Raises:
        UsageFault: something in it is no number above zero.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if wrong := [word for word in words if not word.isdecimal() or not int(word)]:
        raise UsageFault(
            f"{option} holds {wrong[0]!r}, expected numbers with commas", f"{option} 512,2048"
        )
    return [int(word) for word in words]


def row(what: What, setting: Setting, runs: list[Measured]) -> dict[str, Any]:
    """One line of the result: the setting, every figure in order, their median."""
    figures = [figure(what, setting, run) for run in runs]
    predicted = runs[0].predicted_peak_bytes
    fields: dict[str, Any] = {
        "num_tokens": setting.num_tokens,
        "numerics": runs[0].numerics,
        "threads": runs[0].threads,
        "median": round(statistics.median(figures), 3),
        "figures": [round(item, 3) for item in figures],
        "load_seconds": round(statistics.median(run.load_seconds for run in runs), 3),
    }
    if what is What.memory and predicted:
        fields["predicted"] = round(predicted / 2**30, 3)
    return fields


def figure(what: What, setting: Setting, run: Measured) -> float:
    """What one run is measured by: tokens a second, or GiB."""
    if what is What.prefill:
        return setting.num_tokens / run.prefill_seconds
    if what is What.decode:
        return run.num_decoded / run.decode_seconds
    return run.peak_bytes / 2**30
