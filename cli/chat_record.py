"""Conversations on the disk: what was said on which documents, readable only by the user."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from longctx.cli.failure import UsageFault
from longctx.cli.options import SourceOptions
from longctx.ingest.read_settings import Changes
from longctx.prompts.question import Citation

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of the user's, the answer as far as it came, and its sources."""

    question: str
    answer: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation: the paths as they were given, from which directory, and what was said.

    `paths` holds one group for the command line and one for each `/add`; `digests` are those of the
    Documents by name.
    """

    name: str
    directory: str
    paths: tuple[tuple[str, ...], ...]
    sources: SourceOptions
    model: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()

    def changed(self, digests: Mapping[str, str]) -> list[str]:
        """The names of the Documents that are new, gone or other than they were."""
        names = dict.fromkeys([*self.digests, *digests])
        return [name for name in names if self.digests.get(name) != digests.get(name)]


def record_path(root: Path, name: str) -> Path:
    """Where the conversation of that name lies.

    Raises:
        UsageFault: a name that is none.
    """
    if not _NAME.fullmatch(name):
        raise UsageFault(
            f"--session {name!r} is no name, expected letters, digits, dots and dashes",
            "for example: --session law-2026",
        )
    return root / "chats" / f"{name}.json"


def latest(root: Path) -> str:
    """The name of the conversation that was held last.

    Raises:
        UsageFault: there is none.
    """
    found = {path: path.stat().st_mtime_ns for path in (root / "chats").glob("*.json")}
    if not found:
        raise UsageFault("there is no conversation to continue", "begin one: longctx chat PATH...")
    return max(found, key=lambda path: found[path]).stem


def save_record(root: Path, record: Record) -> None:
    """Put the conversation on the disk, whole or not at all."""
    path = record_path(root, record.name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = replace(record, sources=replace(record.sources, password=""))
    text = json.dumps({"version": _VERSION, **_fields(kept)}, indent=1)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def load_record(root: Path, name: str) -> Record:
    """The conversation of that name; its Citations have no places until they are searched again.

    Raises:
        UsageFault: there is none, or it is damaged.
    """
    path = record_path(root, name)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.pop("version") != _VERSION:
            raise ValueError("another version")
        return _record(raw)
    except FileNotFoundError:
        names = ", ".join(sorted(found.stem for found in path.parent.glob("*.json"))) or "none"
        raise UsageFault(
            f"there is no conversation {name!r}; there are: {names}",
            "leave out --continue to begin it",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageFault(
            f"{path} cannot be read as a conversation ({error})", f"remove it: rm {path}"
        ) from error


def _fields(record: Record) -> dict[str, Any]:
    said = [
        {
            "question": exchange.question,
            "answer": exchange.answer,
            "citations": [{"quote": one.quote, "state": one.state} for one in exchange.citations],
        }
        for exchange in record.exchanges
    ]
    return {
        "name": record.name,
        "directory": record.directory,
        "paths": record.paths,
        "sources": asdict(record.sources),
        "model": record.model,
        "digests": dict(record.digests),
        "exchanges": said,
    }


def _record(raw: dict[str, Any]) -> Record:
    sources = SourceOptions(**{**raw["sources"], "changes": Changes(raw["sources"]["changes"])})
    said = tuple(
        Exchange(
            one["question"],
            one["answer"],
            tuple(Citation(quote["quote"], quote["state"]) for quote in one["citations"]),
        )
        for one in raw["exchanges"]
    )
    paths = tuple(map(tuple, raw["paths"]))
    return Record(**{**raw, "sources": sources, "exchanges": said, "paths": paths})
