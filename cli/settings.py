"""The only place that reads and sets environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from longctx.cli.failure import UsageFault

# Turns of waiting for the next loop before a thread sleeps, about 50 us. By itself OpenMP waits
# for seconds: with one other program at work on two cores a token took 2 s instead of 13 ms, since
# what all waited for had no core to run on. With so many it takes 45 ms then, and 13 otherwise.
_TURNS_OF_WAITING = "2000"

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for.

    `root` is the model store, `cache` where prefixes are kept. `color` is True or False where the
    user said so, and None where the terminal decides. `editor` is the command line of the user's.
    """

    root: Path
    cache: Path
    cache_bytes: int | None = None
    model: str | None = None
    color: bool | None = None
    live: bool = True
    editor: str = ""


def let_threads_rest(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have idle threads sleep soon, unless the user says how they wait; to call before torch is."""
    if "OMP_WAIT_POLICY" not in environ:
        environ.setdefault("GOMP_SPINCOUNT", _TURNS_OF_WAITING)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The Settings in the environment.

    `LONGCTX_HOME` is the store, `LONGCTX_MODEL` the default model, `LONGCTX_CACHE_BYTES` the most
    that is kept of what was read. An empty `NO_COLOR` or `FORCE_COLOR` counts as not set
    (no-color.org, force-color.org).

    Raises:
        UsageFault: a number of bytes that is none.
    """
    dumb = environ.get("TERM") == "dumb"
    color = None
    if environ.get("NO_COLOR"):
        color = False
    elif environ.get("FORCE_COLOR"):
        color = True
    elif dumb:
        color = False
    return Settings(
        root=_root(environ.get("LONGCTX_HOME")),
        cache=_cache(environ.get("LONGCTX_HOME")),
        cache_bytes=_bytes(environ.get("LONGCTX_CACHE_BYTES")),
        model=environ.get("LONGCTX_MODEL") or None,
        color=color,
        live=not dumb,
        editor=environ.get("VISUAL") or environ.get("EDITOR") or "",
    )


def _root(home: str | None) -> Path:
    """The store's directory."""
    if home:
        return Path(home).expanduser()
    from platformdirs import user_data_path

    return user_data_path("longctx")


def _cache(home: str | None) -> Path:
    """The directory of what was read, which may be removed at any time."""
    if home:
        return Path(home).expanduser() / "prefixes"
    from platformdirs import user_cache_path

    return user_cache_path("longctx") / "prefixes"


def _bytes(text: str | None) -> int | None:
    """A number of bytes: `20000000000`, `20G` or `1.5 TB`."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise UsageFault(
            f"LONGCTX_CACHE_BYTES is {text!r}, expected a number of bytes such as 20G",
            "0 keeps nothing; without it the cache goes by the room on the disk",
        )
    return int(float(found[1]) * _UNITS[found[2]])
