"""From the paths a user types to Sources: ignore rules kept, odd files named, a stable order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from glob import glob, has_magic
from pathlib import Path

from longctx.ingest.document import Skipped, Source, printable
from longctx.ingest.errors import InputError
from longctx.ingest.name_filter import NameFilter
from longctx.ingest.tree import files_below

STDIN = "-"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Walk:
    """What the paths lead to: Sources to read, and what cannot be one."""

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def walk(
    paths: Sequence[str],
    *,
    stdin: bytes | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    revision: str = "",
    base: str = "",
) -> Walk:
    """The Sources behind `paths` (directories, files, globs, `-`), in the order of the paths.

    A directory gives the files that git would keep, sorted by the bytes of their names; a file
    named by the user is taken whatever the ignore rules say. A file is given once. `include` and
    `exclude` are gitignore patterns on the names that are given; an archive is given unless it is
    excluded, for `read_all` to look inside. With a `revision`, files are those that git holds at
    it; with a `base`, only what changed since it is given, a diff of each file.

    Raises:
        InputError: a path does not exist, a glob matches nothing, `-` was given without data, there
            is no such revision, or nothing changed.
    """
    in_git = bool(revision or base)
    arguments = [match for path in paths for match in ([path] if in_git else _expand(path))]
    sources: list[Source] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    wanted = NameFilter(include, exclude)
    labels = _labels(arguments)
    for argument in arguments:
        if argument == STDIN:
            if stdin is None:
                raise InputError(
                    "'-' means standard input, and nothing is piped in",
                    "pipe text in, as in: git diff | longctx review -",
                )
            if STDIN not in seen:
                sources.append(Source("stdin", data=stdin))
            seen.add(STDIN)
            continue
        for found in _found(argument, labels[argument], revision, base):
            name = printable(found.name)
            if not wanted(found.name) and (base or not wanted.may_hold(found.name)):
                continue
            if base:
                name = f"{name} (changes since {printable(base)})"
            if isinstance(found, Skipped):
                skipped.append(Skipped(name, found.reason))
                continue
            real = os.path.realpath(found.path) if found.path else name
            if real not in seen:
                seen.add(real)
                path = Path(real) if found.path else None
                sources.append(Source(name, path=path, data=found.data))
    if base and not sources and not skipped:
        raise InputError(
            f"nothing changed since {printable(base)!r}", "name an earlier revision, or other paths"
        )
    return Walk(tuple(sources), tuple(skipped))


def _found(argument: str, label: str, revision: str, base: str) -> Iterator[Source | Skipped]:
    """What one argument gives: from the disk, from a revision, or what changed."""
    if not revision and not base:
        return _files(argument, label)
    from longctx.ingest.repository import changes_since, files_at

    if base:
        return changes_since(argument, label, base, revision)
    return files_at(argument, label, revision)


def _expand(path: str) -> Iterator[str]:
    """The path itself, or what a glob that the shell left alone matches."""
    if path == STDIN or os.path.lexists(path):
        yield path
        return
    matches = sorted(glob(path, recursive=True), key=os.fsencode) if has_magic(path) else []
    if not matches:
        raise _not_found(path)
    yield from matches


def _not_found(path: str) -> InputError:
    if has_magic(path):
        return InputError(
            f"no file matches {printable(path)!r}", "look at what is there: ls, or quote less"
        )
    parent, name = os.path.split(path)
    try:
        neighbours = os.listdir(parent or ".")
    except OSError:
        neighbours = []
    near = get_close_matches(name, neighbours, n=1)
    hint = f"did you mean {printable(os.path.join(parent, near[0]))}?" if near else "check the path"
    return InputError(f"{printable(path)!r} does not exist; expected a file or a directory", hint)


def _labels(arguments: Sequence[str]) -> dict[str, str]:
    """What stands before the names of each argument's files.

    Nothing for a directory given alone; else the path as typed, or only its last part where it is
    absolute or climbs up and no other argument ends alike.
    """
    distinct = list(dict.fromkeys(arguments))
    if len(distinct) == 1 and os.path.isdir(distinct[0]):
        return {distinct[0]: ""}
    typed = {path: Path(os.path.normpath(path)).as_posix() for path in distinct}
    lasts = [os.path.basename(os.path.realpath(path)) for path in distinct]
    labels = {}
    for path, last in zip(distinct, lasts, strict=True):
        far = os.path.isabs(path) or typed[path].split("/")[0] in ("..", ".")
        labels[path] = last if far and lasts.count(last) == 1 else typed[path]
    return labels


def _files(argument: str, label: str) -> Iterator[Source | Skipped]:
    """What one argument gives; a link that the user named is followed."""
    try:
        mode = os.stat(argument).st_mode
    except OSError as error:
        yield Skipped(label, _trouble(argument, error))
        return
    if stat.S_ISREG(mode):
        yield Source(label, path=Path(argument))
    elif stat.S_ISDIR(mode):
        yield from _directory(os.path.realpath(argument), label)
    else:
        yield Skipped(label, f"{_KINDS.get(stat.S_IFMT(mode), 'special')}, not a regular file")


def _directory(root: str, label: str) -> Iterator[Source | Skipped]:
    """The files below a directory, sorted by the bytes of their names."""
    found = files_below(root)
    is_inside = cache(lambda folder: _inside(folder, root))
    for relative in sorted(found.files, key=os.fsencode):
        name = f"{label}/{relative}" if label else relative
        path = os.path.join(root, relative)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            # Tracked by git and deleted from the work tree.
            continue
        except OSError as error:
            yield Skipped(name, _trouble(path, error))
            continue
        if stat.S_ISLNK(mode):
            yield Skipped(name, _link(path, root))
        elif not is_inside(os.path.dirname(path)):
            yield Skipped(name, "behind a symbolic link that leaves the directory")
        elif stat.S_ISREG(mode):
            yield Source(name, path=Path(path))
        else:
            yield Skipped(name, f"{_KINDS.get(stat.S_IFMT(mode), 'special')}, not a regular file")
    for relative, reason in found.troubles:
        yield Skipped(f"{label}/{relative}" if label else relative, reason)


def _inside(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _link(path: str, root: str) -> str:
    if not os.path.exists(path):
        return "a dangling symbolic link"
    if not _inside(path, root):
        return "a symbolic link that leaves the directory"
    target = os.path.relpath(os.path.realpath(path), root)
    return f"a symbolic link to {printable(Path(target).as_posix())}"


def _trouble(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return "a dangling symbolic link"
    return (error.strerror or "cannot be read").lower()
