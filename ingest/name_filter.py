"""Which names the user wants read: patterns as in a .gitignore, to include and to exclude."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

# By their names these may hold files, which have names of their own to look at.
HOLDERS = frozenset(
    ".bz2 .eml .gz .mbox .tar .tbz .tbz2 .tgz .txz .whl .xz .zip".split()  # as `read` opens them
)


class NameFilter:
    """Whether a name passes the patterns; without patterns every name does."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Take the patterns; with none to include, everything not excluded passes."""
        self._includes = _matcher(include) if include else None
        self._excludes = _matcher(exclude) if exclude else None

    def __call__(self, name: str) -> bool:
        """Whether a file of this name is wanted."""
        return self._may_pass(name) and (self._includes is None or self._includes(name))

    def may_hold(self, name: str) -> bool:
        """Whether a file of this name may hold some that are wanted, be it wanted or not."""
        return PurePath(name).suffix.lower() in HOLDERS and self._may_pass(name)

    def _may_pass(self, name: str) -> bool:
        return self._excludes is None or not self._excludes(name)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns).match_file
