"""`longctx cache`: what was read and is kept on the disk, so that it is not read again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.failure import UsageFault
from longctx.cli.options import Format, Quiet, Verbose

if TYPE_CHECKING:
    from longctx.cli.screen import Screen
    from longctx.runtime.prefix_store import PrefixStore, StoredPrefix
    from longctx.runtime.shrink import Shrunk

Name = Annotated[str, typer.Argument(help="A name from `longctx cache ls`.", metavar="NAME")]
Names = Annotated[
    list[str] | None, typer.Argument(help="Names from `longctx cache ls`.", metavar="NAME")
]
Form = Annotated[Format, typer.Option("--format", help="Form of the result.")]

_NAME_CHARACTERS = 8


def ls_cache(form: Form = Format.text, verbose: Verbose = False) -> int:
    """List what was read and is kept: its size, what it saves, when it was used last."""
    from longctx.cli.models import size
    from longctx.cli.progress import duration
    from longctx.cli.render import as_json

    store, screen = _open(verbose=verbose)
    found = store.prefixes()
    total, limit, proofread = store.num_bytes(), store.limit_bytes(), _proofread_bytes(store)
    if form is Format.json:
        fields = {
            "num_bytes": total,
            "limit_bytes": limit,
            "proofread_bytes": proofread,
            "prefixes": list(map(_fields, found)),
        }
        screen.write_json(as_json({"schema": "longctx.cache/1", **fields}))
        return 0
    rows = [
        (
            prefix.facts.name[:_NAME_CHARACTERS],
            f"{prefix.facts.end:,} tokens",
            size(prefix.num_bytes),
            f"saves {duration(prefix.seconds)}",
            f"used {_ago(prefix)}",
            prefix.facts.model,
            prefix.facts.label,
            f"{prefix.facts.converted:,} tokens brought to 8 bits" * bool(prefix.facts.converted),
        )
        for prefix in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        screen.write("  ".join(cells).rstrip() + "\n")
    beside = f", {size(proofread)} of what was proofread" if proofread else ""
    screen.write(f"{size(total)} of at most {size(limit)} in {store.directory}{beside}\n")
    return 0


def show_cache(name: Name, form: Form = Format.text, verbose: Verbose = False) -> int:
    """Show one prefix: its model, its settings, its size and what it saves."""
    from longctx.cli.render import as_json

    store, screen = _open(verbose=verbose)
    fields = _fields(_named(store, name))
    if form is Format.json:
        screen.write_json(as_json({"schema": "longctx.prefix/1", **fields}))
        return 0
    width = max(map(len, fields))
    screen.write("".join(f"{key:<{width}}  {value}\n" for key, value in fields.items()))
    return 0


def shrink_cache(
    names: Names = None,
    model: Annotated[
        str, typer.Option(help="Shrink what was read with this model.", show_default=False)
    ] = "",
    replaces: Annotated[
        bool, typer.Option("--replace", help="Remove what is in 8 bits afterwards in 16.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Bring what was read in bfloat16 to the 8 bits in which runs with --kv8 look for it.

    They say so, since an answer may differ a little from one that was read in 8 bits.
    """
    from longctx.cli.progress import open_progress
    from longctx.cli.settings import read_settings
    from longctx.runtime.shrink import shrink

    store, screen = _open(quiet=quiet, verbose=verbose)
    if not (names or model):
        raise UsageFault("cache shrink needs a NAME or --model", "longctx cache ls")
    wanted = {name: _named(store, name, or_made_of=True) for name in names or ()}
    chosen = {prefix.facts.name: prefix for prefix in wanted.values()}
    chosen |= {one.facts.name: one for one in store.prefixes() if one.facts.model == model}
    progress, freed = open_progress(screen), 0
    for name, prefix in chosen.items():
        try:
            done = shrink(
                store,
                prefix,
                read_settings().root,
                replaces=replaces,
                advance=lambda done, total: progress.update("shrink", done, total, "nodes"),
            )
        finally:
            progress.pause()
        freed += done.freed_bytes
        screen.write(f"{name[:_NAME_CHARACTERS]}  {_told(done)}\n")
    if replaces:
        _tell_freed(screen, freed)
    return 0


def rm_cache(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all of it.")] = False,
    model: Annotated[
        str, typer.Option(help="Remove what was read with this model.", show_default=False)
    ] = "",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Remove what was read; what another prefix shares stays for that one.

    --all removes what was proofread, too.
    """
    store, screen = _open(quiet=quiet, verbose=verbose)
    if not (names or everything or model):
        raise UsageFault("cache rm needs a NAME, --model or --all", "longctx cache ls")
    found = store.prefixes()
    asked = {_named(store, name).facts.name for name in names or ()}
    going = [
        prefix
        for prefix in found
        if everything or prefix.facts.name in asked or model and prefix.facts.model == model
    ]
    staying = {name for prefix in found if prefix not in going for name in prefix.names}
    gone = [name for prefix in going for name in prefix.names if name not in staying]
    freed = store.remove(gone)
    if everything:
        freed += _proofread_bytes(store)
        store.edits_path.unlink(missing_ok=True)
    _tell_freed(screen, freed)
    return 0


def gc_cache(quiet: Quiet = False, verbose: Verbose = False) -> int:
    """Remove what interrupted runs left behind, and the oldest of what is over the limit."""
    store, screen = _open(quiet=quiet, verbose=verbose)
    _tell_freed(screen, store.sweep())
    return 0


def verify_cache(quiet: Quiet = False, verbose: Verbose = False) -> int:
    """Compare all of it with its checksums; what is not sound is removed and named."""
    from longctx.cli.progress import open_progress

    store, screen = _open(quiet=quiet, verbose=verbose)
    progress = open_progress(screen)
    try:
        wrong = store.verify(lambda done, total: progress.update("verify", done, total, "nodes"))
    finally:
        progress.pause()
    for line in wrong:
        screen.write(f"{line}\n")
    noun = "node was" if len(wrong) == 1 else "nodes were"
    screen.note(f"{len(wrong):,} {noun} not sound and removed" if wrong else "all of it is sound")
    return 0


def _open(*, quiet: bool = False, verbose: bool) -> tuple[PrefixStore, Screen]:
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings
    from longctx.runtime.prefix_store import PrefixStore

    settings = read_settings()
    screen = Screen(settings, quiet=quiet, verbose=verbose)
    return PrefixStore(settings.cache, settings.cache_bytes), screen


def _proofread_bytes(store: PrefixStore) -> int:
    """What the results of proofreading take."""
    return store.edits_path.stat().st_size if store.edits_path.is_file() else 0


def _named(store: PrefixStore, name: str, *, or_made_of: bool = False) -> StoredPrefix:
    """The prefix whose name begins so, or else the one that was made of such a one.

    Raises:
        UsageFault: there is none, or there are several.
    """
    prefixes = store.prefixes()
    found = [prefix for prefix in prefixes if prefix.facts.name.startswith(name)]
    if or_made_of and not found:
        found = [prefix for prefix in prefixes if prefix.facts.made_of.startswith(name)]
    if len(found) != 1:
        how_many = f"{len(found)} prefixes begin with" if found else "there is no prefix"
        raise UsageFault(f"{how_many} {name!r}", "the names: longctx cache ls")
    return found[0]


def _fields(prefix: StoredPrefix) -> dict[str, Any]:
    """What is known of a prefix."""
    return {
        "name": prefix.facts.name,
        "model": prefix.facts.model,
        "label": prefix.facts.label,
        "num_tokens": prefix.facts.end,
        "num_bytes": prefix.num_bytes,
        "own_bytes": prefix.own_bytes,
        "saves_seconds": round(prefix.seconds, 1),
        "made_of": prefix.facts.made_of,
        "num_converted": prefix.facts.converted,
        "last_used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(prefix.last_used)),
        "settings": prefix.facts.settings,
    }


def _told(done: Shrunk) -> str:
    """What came of bringing a prefix to 8 bits, in words."""
    from longctx.cli.models import size

    if not done.num_nodes:
        return f"skipped: {done.problem}" if done.problem else "is in 8 bits already"
    made = (
        f"{done.num_tokens:,} tokens in {done.num_nodes:,} nodes: "
        f"{size(done.bytes_before)} in bfloat16, {size(done.bytes_after)} in 8 bits"
    )
    return f"{made}; stopped: {done.problem}" if done.problem else made


def _ago(prefix: StoredPrefix) -> str:
    """When a prefix was used last, in words."""
    from longctx.cli.progress import duration

    return f"{duration(max(0.0, time.time() - prefix.last_used))} ago"


def _tell_freed(screen: Screen, num_bytes: int) -> None:
    from longctx.cli.models import size

    screen.note(f"{size(num_bytes)} freed")
