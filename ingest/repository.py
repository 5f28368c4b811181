"""Files of a git repository at a revision, and what changed since one, read without a checkout."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from typing import IO

from longctx.ingest.document import Skipped, Source, printable
from longctx.ingest.errors import InputError, NotARepository, UnknownRevision
from longctx.ingest.read import MAX_BYTES
from longctx.ingest.surroundings import with_surroundings

# A repository's own configuration may name programs to run and hosts to ask; it is a stranger's,
# so none is heeded, and nothing is written into it.
_GIT = (
    *("git", "--no-optional-locks", "--literal-pathspecs", "--no-pager"),
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.allow=never", "-c", "core.quotePath=true"),
    *("-c", "diff.suppressBlankEmpty=false"),
)
# Every file that changed is asked for whole, and cut afterwards.
_DIFF = (
    *("diff", "--raw", "-z", "--patch", "--unified=10000000", "--find-renames", "--relative"),
    *("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
_SECTION = re.compile(rb"^diff --git ", re.M)


def files_at(path: str, label: str, revision: str) -> Iterator[Source | Skipped]:
    """The files that a repository holds at and below `path` at a revision, names and bytes alike.

    Raises:
        NotARepository: no repository holds the path.
        UnknownRevision: the repository has no such revision.
        InputError: there was nothing at the path.
    """
    directory, below = _located(path)
    tree = _resolved(directory, revision, "tree")
    listing = _git(directory, "ls-tree", "-r", "-z", "-l", tree, "--", *([below] if below else []))
    if not listing:
        raise InputError(
            f"{printable(path)!r} holds no file at {printable(revision)!r}",
            f"git ls-tree -r --name-only {printable(revision)} lists the files there",
        )
    command = (*_GIT, "-C", directory, "cat-file", "--batch")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as objects:
        assert objects.stdin is not None and objects.stdout is not None
        for entry in listing.split(b"\0")[:-1]:
            facts, _, raw_name = entry.partition(b"\t")
            mode, kind, object_id, size = facts.split()
            name = _named(label, os.fsdecode(raw_name), below)
            if kind == b"commit":
                yield Skipped(name, "a submodule")
            elif mode == b"120000":
                yield Skipped(name, "a symbolic link")
            elif int(size) > MAX_BYTES:
                yield Skipped(name, f"more than the {MAX_BYTES / 1e6:,.0f} MB read")
            else:
                objects.stdin.write(object_id + b"\n")
                objects.stdin.flush()
                data = _object(objects.stdout)
                missing = Skipped(name, "missing from the repository")
                yield missing if data is None else Source(name, data=data)
        objects.stdin.close()


def changes_since(
    path: str, label: str, base: str, revision: str = ""
) -> Iterator[Source | Skipped]:
    """The diff of each file at and below `path` that changed, with the functions it touches whole.

    What changed is what stands in the work tree, or at `revision`, and did not where it parted from
    `base`.

    Raises:
        NotARepository: no repository holds the path.
        UnknownRevision: the repository has no such revision.
    """
    directory, below = _located(path)
    sides = [_parted(directory, _resolved(directory, base), revision)]
    if revision:
        sides.append(_resolved(directory, revision))
    limits = ["--", *([below] if below else [])]
    output = _git(directory, *_without_filters(directory), *_DIFF, *sides, *limits)
    records, patch = _records(output)
    starts = [match.start() for match in _SECTION.finditer(patch)]
    for raw_name, (start, end) in zip(records, pairwise([*starts, len(patch)]), strict=True):
        section = patch[start:end]
        relative = os.fsdecode(raw_name)
        name = _named(label, relative, below)
        if b"\n@@ " not in section and b"\nBinary files " in section:
            yield Skipped(name, "binary, and it changed")
        else:
            yield Source(name, data=with_surroundings(section, relative))
    if not revision:
        listing = ("ls-files", "-z", "--others", "--exclude-standard", *limits)
        for raw_name in _git(directory, *listing).split(b"\0")[:-1]:
            name = _named(label, os.fsdecode(raw_name), below)
            yield Skipped(name, "git does not track it: `git add` it to have it read")


def _located(path: str) -> tuple[str, str]:
    """The nearest directory that is there now, and what of the path lies below it."""
    directory, below = os.path.realpath(path), ""
    while not os.path.isdir(directory):
        directory, last = os.path.split(directory)
        below = f"{last}/{below}" if below else last
    try:
        _git(directory, "rev-parse", "--git-dir")
    except FileNotFoundError:
        raise InputError("--rev and --diff need git, and there is none", "install git") from None
    except subprocess.CalledProcessError as error:
        said = os.fsdecode(error.stderr).strip()
        hint = "give a path inside a repository, or leave out --rev and --diff"
        if "dubious ownership" in said:
            hint = said.splitlines()[-1].strip()
        raise NotARepository(f"{printable(path)!r} is not in a git repository", hint) from None
    return directory, below


def _resolved(directory: str, revision: str, kind: str = "commit") -> str:
    """The id of a revision; whatever is typed, git takes it for a revision and for no option."""
    asked = f"{revision}^{{{kind}}}"
    try:
        found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", asked)
    except (subprocess.CalledProcessError, ValueError):
        raise UnknownRevision(
            f"there is no revision {printable(revision)!r}; expected a commit, a branch or a tag",
            "git log --oneline --all lists what there is",
        ) from None
    return os.fsdecode(found).split("\n")[0]


def _parted(directory: str, base: str, revision: str) -> str:
    """The commit where the line of `base` was left; itself where they have none in common."""
    try:
        head = _resolved(directory, revision or "HEAD")
        return os.fsdecode(_git(directory, "merge-base", base, head)).strip()
    except (subprocess.CalledProcessError, UnknownRevision):
        return base


def _without_filters(directory: str) -> list[str]:
    """Options that switch off every program that the configuration puts before reading a file."""
    try:
        keys = _git(directory, "config", "-z", "--name-only", "--get-regexp", r"^filter\.")
    except subprocess.CalledProcessError:
        return []
    options = []
    for key in dict.fromkeys(os.fsdecode(keys).split("\0")[:-1]):
        value = "false" if key.endswith(".required") else ""
        options += ["-c", f"{key}={value}"]
    return options


def _records(output: bytes) -> tuple[list[bytes], bytes]:
    """The names of the changed files, one for each section of the patch, and the patch."""
    names, position = [], 0
    while output[position : position + 1] == b":":
        end = output.index(b"\0", position)
        status = output[position:end].split()[-1][:1]
        for _ in range(2 if status in b"RC" else 1):
            start, end = end + 1, output.index(b"\0", end + 1)
        # A change of type, as from a link to a file, is told as a deletion and a new file.
        names += [output[start:end]] * {b"U": 0, b"T": 2}.get(status, 1)
        position = end + 1
    return names, output[position + 1 :]


def _object(stream: IO[bytes]) -> bytes | None:
    """The next object of `git cat-file --batch`; None if the repository does not hold it."""
    facts = stream.readline().split()
    if len(facts) != 3:
        return None
    data = stream.read(int(facts[2]))
    stream.read(1)
    return data


def _named(label: str, relative: str, below: str) -> str:
    """The name of a file as `walk` would give it: the label, then the path below it."""
    rest = relative[len(below) :].lstrip("/") if below else relative
    return "/".join(part for part in (label, rest) if part) or relative


def _git(directory: str, *arguments: str) -> bytes:
    command = (*_GIT, "-C", directory, *arguments)
    return subprocess.run(command, capture_output=True, check=True).stdout
