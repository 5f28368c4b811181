"""The models on this machine: which are installed, where, and whether their bytes are sound."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from longctx.runtime.catalog import ENTRIES, find
from longctx.runtime.config import read_json
from longctx.runtime.errors import ModelError
from longctx.runtime.install import (
    SOURCE,
    ModelFiles,
    Progress,
    disk_full_explained,
    from_store,
    install,
    model_directory,
    model_lock,
    sha256_of,
)

# What is tuned for a model and written beside it: no part of the model.
TUNED = "tuned-*.json"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What `show` tells of a model: its config.json, its size in bytes and its source.json."""

    files: ModelFiles
    config: Mapping[str, Any]
    source: Mapping[str, Any]
    num_bytes: int


def installed(root: Path) -> tuple[ModelFiles, ...]:
    """Every model in the store at `root`, by name."""
    # what begins with a dot is not in place yet
    found = (from_store(path) for path in (root / "models").glob(f"[!.]*/{SOURCE}"))
    return tuple(sorted(found, key=lambda files: files.name))


def find_installed(root: Path, name: str) -> ModelFiles | None:
    """The installed model of that name; None where it is not there."""
    source = model_directory(root, name) / SOURCE
    return from_store(source) if _is_name(name) and source.is_file() else None


def resolve(root: Path, name_or_path: str, *, progress: Progress) -> ModelFiles:
    """The model of a name, of a local directory in Hugging Face layout, or of a GGUF file.

    A GGUF file is converted into the store at its first use and found there afterwards.

    Raises:
        ModelError: there is no such model here, or its files are not what they should be.
    """
    files = find_installed(root, name_or_path)
    if files:
        return files
    path = Path(name_or_path).expanduser()
    if find(name_or_path):
        pass
    elif path.is_dir():
        return _from_directory(path)
    elif path.is_file():
        return _from_gguf(root, path, progress)
    elif not is_repository(name_or_path):
        known = [entry.name for entry in ENTRIES]
        near = get_close_matches(name_or_path, known, 1)
        raise ModelError(
            f"there is no model {name_or_path!r}: neither a known name nor a directory nor a file",
            f"did you mean {near[0]}?" if near else f"known names: {', '.join(known)}",
        )
    raise ModelError(
        f"the model {name_or_path!r} is not installed", f"longctx models pull {name_or_path}"
    )


def show(root: Path, name_or_path: str, *, progress: Progress) -> ModelFacts:
    """The facts about a model on this machine.

    Raises:
        ModelError: there is no such model here.
    """
    files = resolve(root, name_or_path, progress=progress)
    source = files.directory / SOURCE
    return ModelFacts(
        files=files,
        config=read_json(files.directory / "config.json"),
        source=read_json(source) if source.is_file() else {},
        num_bytes=sum(path.stat().st_size for path in files.directory.iterdir() if path.is_file()),
    )


def verify(root: Path, name: str, *, progress: Progress) -> tuple[str, ...]:
    """What is wrong with the stored files of a model, a line each; empty when all is sound.

    Raises:
        ModelError: no model of that name is installed.
    """
    files = find_installed(root, name)
    if not files:
        raise ModelError(f"the model {name!r} is not installed", f"longctx models pull {name}")
    expected: dict[str, dict[str, Any]] = read_json(files.directory / SOURCE)["files"]
    total = sum(entry["num_bytes"] for entry in expected.values())
    problems, done = [], 0
    for filename, entry in expected.items():
        path = files.directory / filename
        if not path.is_file():
            problems.append(f"{path}: missing")
            continue
        actual = sha256_of(path, lambda count: progress("verify", done + count, total))  # noqa: B023
        if actual != entry["sha256"]:
            problems.append(f"{path}: sha256 is {actual}, expected {entry['sha256']}")
        done += entry["num_bytes"]
    return tuple(problems)


def model_at(directory: Path) -> ModelFiles:
    """The model in a directory, ours or not.

    Raises:
        ModelError: there is none.
    """
    source = directory / SOURCE
    return from_store(source) if source.is_file() else _from_directory(directory)


def _from_directory(path: Path) -> ModelFiles:
    """The model in a directory that longctx did not write."""
    if not (path / "config.json").is_file():
        raise ModelError(f"{path}: no config.json; expected a model in Hugging Face layout")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise ModelError(
            f"{path}: no *.safetensors; weights in other formats are not opened",
            "take the model in safetensors or as a GGUF file",
        )
    beside = sorted(set(path.glob("*.json")) - set(path.glob(TUNED)))
    parts = [(file.name, file.stat()) for file in (*beside, *weights)]
    content = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in parts])
    return ModelFiles(str(path), path, hashlib.sha256(content.encode()).hexdigest())


def _from_gguf(root: Path, path: Path, progress: Progress) -> ModelFiles:
    """The model of a GGUF file, from the store where this content was converted before."""
    from longctx.runtime.gguf_convert import convert_gguf
    from longctx.runtime.gguf_read import read_gguf

    stat = path.stat()
    seen = hashlib.sha256(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    note = root / "models" / f".seen-{seen.hexdigest()[:32]}"
    if note.is_file() and (files := find_installed(root, note.read_text(encoding="utf-8"))):
        return files
    # a malformed file is refused before all of it is read
    read_gguf(path)
    digest = sha256_of(path, lambda count: progress("read", count, stat.st_size))
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '-', path.stem).lstrip('._-') or 'model'}-{digest[:12]}"
    source = {"origin": str(path.resolve()), "licence": None, "gguf_sha256": digest}
    with model_lock(root, name, progress=progress), disk_full_explained(root, 0):
        files = _converted_before(root, digest) or install(
            root, name, source, lambda target: convert_gguf(path, target, progress=progress)
        )
        note.write_text(files.name, encoding="utf-8")
    return files


def _converted_before(root: Path, digest: str) -> ModelFiles | None:
    """The installed model that came from a GGUF file of that sha256."""
    for files in installed(root):
        if read_json(files.directory / SOURCE).get("gguf_sha256") == digest:
            return files
    return None


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a model in the store, so no way out of it."""
    part = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    return re.fullmatch(f"{part}(/{part})?", text) is not None


def is_repository(text: str) -> bool:
    """Whether a text can be the name of a repository on the hub."""
    return "/" in text and _is_name(text)
