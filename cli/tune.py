"""`longctx tune`: how much each head of a model must attend to, at a length and on a real text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.options import Extend, Format, ModelOptions, Numerics, Quiet, Verbose

if TYPE_CHECKING:
    from longctx.runtime.tuned import Tuned


def tune(
    model: Annotated[
        str, typer.Argument(help="A name, a directory or a GGUF file.", show_default=False)
    ],
    length: Annotated[
        int, typer.Option(help="The tokens that are to be read at once.", min=1, show_default=False)
    ],
    text: Annotated[
        list[Path] | None,
        typer.Option(help="A real text of so many tokens, or several.", metavar="FILE"),
    ] = None,
    fidelity: Annotated[
        float, typer.Option(help="Share of full attention that nine rows in ten must reach.")
    ] = 0.95,
    passes: Annotated[
        int, typer.Option(help="The most times that the text is read for heads still short.", min=1)
    ] = 3,
    attention: Annotated[
        str,
        typer.Option(help="The mode, such as blocks or blocks:max_keys=8192.", metavar="MODE"),
    ] = "blocks",
    extend: Annotated[Extend, typer.Option(help="How to read past the model's native window.")] = (
        Extend.none
    ),
    numerics: Annotated[Numerics, typer.Option(help="Number format.")] = Numerics.auto,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; all cores if not given.", min=1)
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep nothing read: a stopped run reads all again.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="Form of the result.")] = Format.text,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Find how much each head of a model must attend to at a length.

    The text is read with --attention blocks, and rows of its second half are checked in every
    layer. A head that has less of its full attention than --fidelity gets more keys, one that has
    plenty gets fewer; the text is read again to confirm it. What was found lies beside the model,
    and --attention blocks uses it from then on. A run that was stopped goes on where it was.

    Examples:
        longctx tune qwen2.5-coder-1.5b --length 32768 --text emma.txt
        longctx tune qwen2.5-coder-0.5b --length 1000000 --extend dca --text a.txt --text b.txt
    """
    from longctx.cli.model import open_model, open_prefixes
    from longctx.cli.progress import open_progress
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings
    from longctx.cli.texts import read_texts
    from longctx.runtime import tune as tuning
    from longctx.runtime.tokenizer import Tokenizer

    settings = read_settings()
    screen = Screen(settings, quiet=quiet, verbose=verbose)
    progress = open_progress(screen)
    options = ModelOptions(model=model, extend=extend, numerics=numerics, no_cache=no_cache)
    content = "".join(read_texts(text or [], "tune measures on a real text"))
    found = open_model(settings.root, model, options, length, progress)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    memory = found.plan(length)
    if memory is not None:
        memory.check()
    path, tuned = tuning.tune(
        found.directory,
        Tokenizer.load(found.directory).encode(content),
        tuning.Target(length, fidelity, attention, extend.value, numerics.value, passes),
        prefixes=open_prefixes(settings, options),
        on_progress=lambda phase, done, total: progress.update(phase, done, total, "tokens"),
        on_notice=screen.note,
    )
    progress.pause()
    if form is Format.json:
        screen.write_json(tuned.as_json())
    else:
        screen.write(report(found.name, path, tuned))
    return 0


def report(name: str, path: Path, tuned: Tuned) -> str:
    """What was tuned, in a few lines."""
    checked = [
        (layer, head, one.recall_before, one.recall)
        for layer, head, one in tuned.heads
        if one.recall_before is not None and one.recall is not None
    ]
    before = sum(low < tuned.fidelity for _, _, low, _ in checked)
    short = sum(low < tuned.fidelity for _, _, _, low in checked)
    times = "once" if tuned.passes == 1 else f"{tuned.passes} times"
    lines = [
        f"{name} at {tuned.length:,} tokens, read {times}",
        f"KV heads that keep less than {tuned.fidelity:.1%} of their attention in more than "
        f"{tuned.quantile:.0%} of the checked rows: {before} of {len(checked)} before, {short} now",
        f"earlier keys that a row attends to, in the mean: {tuned.keys_before:,.0f} before, "
        f"{tuned.keys:,.0f} now",
    ]
    if checked:
        layer, head, low_before, low = min(checked, key=lambda one: one[3])
        lines.append(
            f"the lowest now: layer {layer}, KV head {head}: {low:.1%} ({low_before:.1%} before)"
        )
    if short:
        lines.append(f"more passes give those more: --passes {2 * tuned.passes}")
    return "".join(f"{line}\n" for line in [*lines, f"written to {path}"])
