"""The only place that reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for.

    `color` is True or False where the user said so, and None where the terminal decides.
    """

    root: Path
    model: str | None = None
    color: bool | None = None
    live: bool = True


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The Settings in the environment.

    `LONGCTX_HOME` is the store, `LONGCTX_MODEL` the default model. An empty `NO_COLOR` or
    `FORCE_COLOR` counts as not set (no-color.org, force-color.org).
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
        model=environ.get("LONGCTX_MODEL") or None,
        color=color,
        live=not dumb,
    )


def _root(home: str | None) -> Path:
    """The store's directory."""
    if home:
        return Path(home).expanduser()
    from platformdirs import user_data_path

    return user_data_path("longctx")
