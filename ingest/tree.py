"""Which files below a directory count: what git keeps, or what gitignore rules keep."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# A work tree's own configuration may name programs to run; it is a stranger's, so none is heeded.
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True, slots=True)
class Tree:
    """Relative POSIX paths of files and links below a directory, and what could not be entered."""

    files: list[str] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)


def files_below(root: str) -> Tree:
    """The files below `root`, in no order; directory links are given as files and not entered.

    In a git work tree: tracked files, and untracked ones that are not ignored. Elsewhere: the same
    rules, read from every `.gitignore` on the way.
    """
    tree = Tree()
    _collect(root, "", tree)
    return tree


def _collect(root: str, prefix: str, tree: Tree) -> None:
    listed = _git_files(os.path.join(root, prefix))
    if listed is None:
        _scan(root, prefix, tree)
        return
    for name in listed:
        path = prefix + name
        full = os.path.join(root, path)
        if not os.path.isdir(full) or os.path.islink(full.rstrip("/")):
            tree.files.append(path)
        elif os.path.lexists(os.path.join(full, ".git")):
            _collect(root, path.rstrip("/") + "/", tree)
        else:
            tree.troubles.append((path, "a submodule that is not checked out"))


def _git_files(directory: str) -> list[str] | None:
    """What git lists below a directory; None outside a work tree, or in an ignored directory."""
    command = (*_GIT, "-C", directory)
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    try:
        output = subprocess.run((*command, *listing), capture_output=True, check=True).stdout
        if not output and os.listdir(directory):
            ignored = subprocess.run((*command, "check-ignore", "-q", "."), capture_output=True)
            if ignored.returncode == 0:
                return None
    except (OSError, subprocess.CalledProcessError):
        return None
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _scan(root: str, prefix: str, tree: Tree) -> None:
    """Add the files below `root/prefix` under gitignore rules stacked directory by directory."""
    pending: list[tuple[str, tuple[tuple[str, GitIgnoreSpec], ...]]] = [(prefix, ())]
    while pending:
        below, rules = pending.pop()
        directory = os.path.join(root, below)
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            tree.troubles.append((below or ".", (error.strerror or "cannot be read").lower()))
            continue
        names = {entry.name for entry in found}
        if below != prefix and ".git" in names:
            _collect(root, below, tree)
            continue
        if ".gitignore" in names:
            rules = (*rules, *_rules(directory, below))
        for entry in found:
            path = below + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or _ignored(path + "/" * is_directory, rules):
                continue
            if is_directory:
                pending.append((path + "/", rules))
            else:
                tree.files.append(path)


def _rules(directory: str, below: str) -> list[tuple[str, GitIgnoreSpec]]:
    from pathspec import GitIgnoreSpec

    path = Path(directory, ".gitignore")
    if path.is_symlink() or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return [(below, GitIgnoreSpec.from_lines(text.splitlines()))]


def _ignored(path: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]) -> bool:
    """Whether the deepest file with a say on the path ignores it (gitignore(5))."""
    for below, spec in reversed(rules):
        decision = spec.check_file(path[len(below) :]).include
        if decision is not None:
            return decision
    return False
