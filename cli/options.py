"""The options that several commands share, as frozen dataclasses that `spread` turns into flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from longctx.ingest.read_settings import Changes

R = TypeVar("R")


class Format(StrEnum):
    """How a result is written."""

    text = "text"
    md = "md"
    json = "json"
    sarif = "sarif"


class Numerics(StrEnum):
    """The number format the engine computes in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    mixed = "mixed"
    narrow = "narrow"
    int8 = "int8"
    int4 = "int4"
    fp8 = "fp8"


class Device(StrEnum):
    """Where the model runs."""

    cpu = "cpu"
    cuda = "cuda"


class Attention(StrEnum):
    """Which earlier tokens a token of the documents attends to; those of a question see all."""

    auto = "auto"
    dense = "dense"
    blocks = "blocks"
    vertical_slash = "vertical-slash"
    tri_shape = "tri-shape"


class Decoding(StrEnum):
    """Which earlier tokens a written token attends to."""

    auto = "auto"
    dense = "dense"
    blocks = "blocks"


class Extend(StrEnum):
    """How a model reads past the window that it was trained for."""

    none = "none"
    dca = "dca"
    yarn = "yarn"


Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show the traceback of a fault.")]
Least = Annotated[
    float | None,
    typer.Option(
        help="Say it is not in the text where the model's chance that it is is below this.",
        show_default="0.6 for the default model, else 0",
        min=0.0,
        max=1.0,
    ),
]
Paths = Annotated[
    list[str] | None,
    typer.Argument(help="Files, directories, globs, or - for stdin.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is read, and what happens when it is too much."""

    include: Annotated[
        list[str] | None, typer.Option(help="Read only what matches GLOB.", metavar="GLOB")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out what matches GLOB.", metavar="GLOB")
    ] = None
    password: Annotated[
        str, typer.Option(help="Opens encrypted files.", metavar="TEXT", show_default=False)
    ] = ""
    rev: Annotated[
        str,
        typer.Option(help="Read files as git has them at REV, not from the disk.", metavar="REV"),
    ] = ""
    diff: Annotated[
        str,
        typer.Option(
            help="Read only what changed since BASE, with the functions around it.", metavar="BASE"
        ),
    ] = ""
    focus: Annotated[
        str, typer.Option(help="Names, globs or words: --fit keeps what matches first.")
    ] = ""
    changes: Annotated[
        Changes, typer.Option(help="Tracked changes of a document: taken, undone or shown.")
    ] = Changes.accept
    window: Annotated[
        int | None,
        typer.Option(help="Use at most this many tokens of the model's window.", min=256),
    ] = None
    fit: Annotated[
        bool, typer.Option("--fit", help="Trim what does not fit, and list every cut.")
    ] = False
    split: Annotated[
        bool, typer.Option("--split", help="Read in parts what does not fit at once.")
    ] = False
    stable: Annotated[
        bool,
        typer.Option(
            "--stable",
            help="Files that changed last come last: what stands before an edit is not read again.",
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model answers, and how it chooses its words."""

    model: Annotated[
        str | None,
        typer.Option(
            help="A name from `longctx models`, a directory or a GGUF file.", metavar="NAME"
        ),
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest answer to one question, in tokens.", min=1)
    ] = None
    temperature: Annotated[
        float, typer.Option(help="0 always takes the likeliest token.", min=0.0)
    ] = 0.0
    seed: Annotated[int, typer.Option(help="Seed of the draws above temperature 0.")] = 0
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; all cores if not given.", min=1)
    ] = None
    numerics: Annotated[Numerics, typer.Option(help="Number format.")] = Numerics.auto
    kv8: Annotated[
        bool,
        typer.Option("--kv8", help="Keep what was read in 8 bits: half the memory, a small loss."),
    ] = False
    attention: Annotated[
        Attention,
        typer.Option(
            help="What documents attend to: all, or what a mode chooses; auto is all, but blocks "
            "beyond 16,384 tokens where the model is read past its window."
        ),
    ] = Attention.auto
    decoding: Annotated[
        Decoding,
        typer.Option(
            help="What written words attend to: all, which auto is, or past 16,384 tokens the best "
            "blocks, faster and less exact."
        ),
    ] = Decoding.auto
    fidelity: Annotated[
        float | None,
        typer.Option(help="Share of full attention that blocks must reach.", min=0.0, max=1.0),
    ] = None
    extend: Annotated[Extend, typer.Option(help="How to read past the model's native window.")] = (
        Extend.none
    )
    device: Annotated[Device, typer.Option(help="Where the model runs.")] = Device.cpu
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither use nor keep what was read on the disk.")
    ] = False


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where a result goes, in which form, and how much is said beside it."""

    format: Annotated[Format, typer.Option(help="Form of the result.")] = Format.text
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the result to FILE at once.", metavar="FILE"),
    ] = None
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Write the result once, when it is whole.")
    ] = False
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Show what is in, what is out and why.")
    ] = False
    quiet: Quiet = False
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Timings, and the traceback of a fault.")
    ] = False


def spread(command: Callable[..., R]) -> Callable[..., R]:
    """The command with each options dataclass among its parameters spread into flat parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(_flat(parameter.name, hints[parameter.name], parameter.default))
            continue
        field_hints = get_type_hints(kind, include_extras=True)
        parameters += [
            _flat(
                item.name,
                field_hints[item.name],
                inspect.Parameter.empty if item.default is MISSING else item.default,
            )
            for item in fields(kind)
        ]

    def flat(**values: Any) -> R:
        """The command, called with its options folded back."""
        for name, kind in groups.items():
            folded = {item.name: values.pop(item.name) for item in fields(kind)}
            values[name] = kind(**folded)
        return command(**values)

    flat.__name__ = command.__name__
    flat.__doc__ = command.__doc__
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _flat(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A keyword parameter for typer to read."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
