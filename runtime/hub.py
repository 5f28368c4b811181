"""A model from the Hugging Face hub: what a repository holds, and its files, hashes checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from longctx.runtime.errors import ModelError
from longctx.runtime.install import DISK_FULL, sha256_of

_CONNECT_SECONDS = 4.0
_POLL_SECONDS = 0.2
_LAYOUT = (".json", ".safetensors", ".jinja", "tokenizer.model", "merges.txt", "vocab.txt")


class HubError(ModelError):
    """The hub cannot be reached, or does not have what was asked for."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository: its size in bytes and the hub's own hash of it."""

    name: str
    num_bytes: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository of models holds at one commit."""

    name: str
    commit: str
    licence: str | None
    files: tuple[HubFile, ...]

    @property
    def layout(self) -> tuple[HubFile, ...]:
        """The files of a model in Hugging Face layout: never a pickle, never a subfolder."""
        return tuple(
            file
            for file in self.files
            if "/" not in file.name
            and file.name.endswith(_LAYOUT)
            # the same weights again, under other names
            and not file.name.startswith("consolidated")
        )


def look_up(repository: str, *, endpoint: str | None) -> Repository:
    """What the hub holds under that name, within seconds or not at all.

    Raises:
        HubError: the hub cannot be reached or has no such repository.
    """
    from huggingface_hub import HfApi

    with _failures_named(repository):
        info = HfApi(endpoint=endpoint).model_info(
            repository, files_metadata=True, timeout=_CONNECT_SECONDS
        )
        files = tuple(
            HubFile(
                file.rfilename,
                file.size or 0,
                file.lfs.sha256 if file.lfs else None,
                file.blob_id,
            )
            for file in info.siblings or ()
        )
    assert info.sha is not None
    licence = info.card_data.get("license") if info.card_data else None
    return Repository(repository, info.sha, str(licence) if licence else None, files)


def fetch_from_hub(
    directory: Path,
    repository: Repository,
    files: Sequence[HubFile],
    *,
    endpoint: str | None,
    progress: Callable[[str, int, int], None],
) -> None:
    """Download the files into `directory`, going on where an earlier call stopped.

    Raises:
        HubError: the hub cannot be reached, or sends bytes that are not those of its own hash.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    # the library draws its bars itself otherwise
    disable_progress_bars()
    total = sum(file.num_bytes for file in files)
    with _watched(directory, lambda count: progress("download", min(count, total), total)):
        for file in files:
            with _failures_named(repository.name):
                hf_hub_download(
                    repository.name,
                    file.name,
                    revision=repository.commit,
                    local_dir=directory,
                    endpoint=endpoint,
                    etag_timeout=_CONNECT_SECONDS,
                )
            _check(directory / file.name, file)


def _check(path: Path, file: HubFile) -> None:
    """Compare a downloaded file with the hub's hash of it; what differs is removed."""
    if file.sha256:
        expected, actual = file.sha256, sha256_of(path)
    elif file.git_sha1:
        content = path.read_bytes()
        expected = file.git_sha1
        actual = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        raise HubError(f"{file.name}: the hub gives no hash of it")
    if actual != expected:
        path.unlink()
        raise HubError(f"{file.name}: the hash is {actual}, expected {expected}", "try again")


@contextmanager
def _failures_named(repository: str) -> Iterator[None]:
    """Turn whatever the hub's library raises into one error that names the repository."""
    try:
        yield
    # its HTTP library, and so what it raises, changes from version to version
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HubError(
            f"{repository}: {first_line}",
            "is huggingface.co reachable? a directory got in another way works by its path",
        ) from error


@contextmanager
def _watched(directory: Path, advance: Callable[[int], None]) -> Iterator[None]:
    """Tell `advance` now and then how many bytes lie under `directory`."""
    done = Event()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            # files are renamed meanwhile; the next round counts them
            with suppress(FileNotFoundError):
                advance(sum(path.stat().st_size for path in directory.rglob("*")))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
