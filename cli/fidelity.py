"""`longctx bench fidelity`: whether sparse attention answers as dense attention does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.cli.failure import UsageFault
from longctx.cli.texts import read_texts

if TYPE_CHECKING:
    from longctx.cli.progress import Progress
    from longctx.runtime.fidelity_run import Book, Case, Effort
    from longctx.runtime.sight import Sight
    from longctx.runtime.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Trial:
    """What is compared with dense attention, on what; `records` is where a stopped run goes on."""

    name: str
    directory: Path
    lengths: Sequence[int]
    modes: Sequence[str]
    books: Sequence[Book]
    effort: Effort
    numerics: str
    extend: str
    total_temperature: bool
    records: Path


def read_books(paths: Sequence[Path]) -> list[Book]:
    """The books that facts are put into, each with its language.

    Raises:
        UsageFault: none is named, or two have the same name.
    """
    from longctx.runtime.fidelity_run import Book
    from longctx.runtime.fidelity_tasks import language_of

    texts = read_texts(paths, "bench fidelity puts questions into a real text")
    books = [
        Book(path.name, text, language_of(text)) for path, text in zip(paths, texts, strict=True)
    ]
    if len({book.name for book in books}) < len(books):
        raise UsageFault("two of the --text files have the same name, expected different ones")
    return books


def measure(trial: Trial, progress: Progress) -> dict[str, Any]:
    """The report of a Trial; what its records hold already is not measured again."""
    import torch

    from longctx.runtime.bench import machine
    from longctx.runtime.config import load_config
    from longctx.runtime.decoder import build_decoder
    from longctx.runtime.extension import extend
    from longctx.runtime.fidelity_report import summary
    from longctx.runtime.fidelity_run import Records, divergences, make_case
    from longctx.runtime.numerics import choose_numerics
    from longctx.runtime.tokenizer import Tokenizer
    from longctx.runtime.weights import open_weights

    tokenizer = Tokenizer.load(trial.directory)
    records = Records(trial.records)
    config = load_config(trial.directory)
    head = build_decoder(config, open_weights(trial.directory), choose_numerics(trial.numerics))
    window = extend(config, trial.extend, max(trial.lengths)).window
    if max(trial.lengths) > window:
        raise UsageFault(
            f"--lengths holds {max(trial.lengths):,}, the model reads {window:,} tokens",
            "let it read on: --extend dca",
        )
    texts = {
        length: [
            make_case(tokenizer, book, length, sample, trial.effort, window)
            for book in trial.books
            for sample in range(trial.effort.samples)
        ]
        for length in trial.lengths
    }
    rows = []
    for length, cases in texts.items():
        for mode in ("dense", *trial.modes):
            for index, case in enumerate(cases):
                progress.update(f"{mode} at {length:,} tokens", index, len(cases), "texts")
                _measure_case(trial, tokenizer, records, case, mode)
        dense = [_record(records, trial, case, "dense") for case in cases]
        for mode in trial.modes:
            divergence: dict[str, list[float]] = {"inside": [], "after": []}
            for case in cases:
                ours = records.rows(_key(trial, case, mode), mode)
                theirs = records.rows(_key(trial, case, "dense"), "dense")
                for place, found in divergence.items():
                    with torch.inference_mode():
                        found += divergences(head, theirs[place], ours[place])
            found_records = [_record(records, trial, case, mode) for case in cases]
            rows.append(summary(length, mode, dense, found_records, divergence))
    return {
        "schema": "longctx.bench.fidelity/1",
        "model": trial.name,
        "extend": trial.extend,
        "texts": [book.name for book in trial.books],
        "machine": machine(),
        "rows": rows,
    }


def _key(trial: Trial, case: Case, mode: str) -> str:
    """What a record is kept under: another choice of these is another measurement."""
    from longctx.kernels.quotas import Quotas
    from longctx.runtime.config import load_config
    from longctx.runtime.sight import prefill_rule

    config = load_config(trial.directory)
    tuned = prefill_rule(sight_of(trial, case, mode), config, trial.directory)
    quotas = getattr(tuned, "quotas", None)
    rule = "total" if trial.total_temperature else "row"
    parts = (trial.name, trial.numerics, trial.extend, str(max(trial.lengths)), rule, case.key)
    return " ".join(parts) + f" {quotas!r}" * isinstance(quotas, Quotas)


def _record(records: Any, trial: Trial, case: Case, mode: str) -> dict[str, Any]:
    found: dict[str, Any] | None = records.find(_key(trial, case, mode), mode)
    assert found is not None, "a case that was not measured"
    return found


def _measure_case(trial: Trial, tokenizer: Tokenizer, records: Any, case: Case, mode: str) -> None:
    from longctx.runtime.fidelity_run import run_case

    if records.find(_key(trial, case, mode), mode) is not None:
        return
    record, rows = run_case(
        trial.directory,
        tokenizer,
        case,
        sight_of(trial, case, mode),
        numerics=trial.numerics,
        answer_tokens=trial.effort.answer_tokens,
    )
    records.add({"case": _key(trial, case, mode), "mode": mode, **record}, rows)


def sight_of(trial: Trial, case: Case, mode: str) -> Sight:
    """What "ATTENTION[/DECODING]" attends to on a Case."""
    from longctx.runtime.sight import Sight

    attention, _, decoding = mode.partition("/")
    sight = Sight(attention, decoding or "dense", trial.extend, max(trial.lengths))
    total = case.length if trial.total_temperature else None
    return replace(sight, temperature_length=total)


def table(report: dict[str, Any], *, markdown: bool) -> str:
    """The report as lines of columns: a line for every length, mode and task."""
    heads = ["tokens", "mode", "task", "asked", "dense", "score", "difference", "95 % interval"]
    lines = [
        [
            f"{row['length']:,}", row["mode"], task["task"], str(task["questions"]),
            f"{task['dense']:.1%}", f"{task['score']:.1%}", f"{100 * task['difference']:+.1f}",
            f"{100 * task['low']:+.1f} to {100 * task['high']:+.1f}",
        ]
        for row in report["rows"]
        for task in row["tasks"]
    ]  # fmt: skip
    notes = [
        f"{row['length']:,} {row['mode']}: KL median {row['kl_after']['median']:.4f} after the "
        f"text, {row['kl_inside']['median']:.4f} in it; {row['greedy_agreement']:.0%} of greedy "
        f"words equal; {_recall(row)}{row['tokens_per_second']:,.0f} tokens/s, dense "
        f"{row['dense_tokens_per_second']:,.0f}"
        for row in report["rows"]
    ]
    title = f"fidelity, {report['model']}, {report['machine']['processor']}"
    if markdown:
        cells = [heads, ["---"] * len(heads), *lines]
        body = "".join(f"| {' | '.join(row)} |\n" for row in cells)
        return f"{title}\n\n{body}\n" + "".join(f"- {note}\n" for note in notes)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    body = "".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in [heads, *lines]
    )
    return f"{title}\n{body}" + "".join(f"{note}\n" for note in notes)


def _recall(row: dict[str, Any]) -> str:
    if row["recall_median"] is None:
        return ""
    return f"recall median {row['recall_median']:.1%}, least {row['recall_least']:.1%}; "


def draw(report: dict[str, Any], path: Path) -> None:
    """Leave a PNG: the score of every mode over the length, with the interval to dense.

    Raises:
        UsageFault: matplotlib is not installed.
    """
    from longctx.cli.bench_table import new_figure

    canvas = new_figure()
    axes = canvas.subplots()
    for mode in dict.fromkeys(row["mode"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["mode"] == mode]
        lengths = [row["length"] for row in rows]
        whole = [row["tasks"][-1] for row in rows]
        axes.errorbar(
            lengths,
            [100 * task["difference"] for task in whole],
            yerr=[
                [100 * (task["difference"] - task["low"]) for task in whole],
                [100 * (task["high"] - task["difference"]) for task in whole],
            ],
            marker="o",
            capsize=3,
            label=mode,
        )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="prompt, tokens", ylabel="points against dense attention")
    axes.set_title(f"fidelity, {report['model']}")
    axes.legend()
    canvas.savefig(path, dpi=150)
