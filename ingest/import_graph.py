"""Which file of a repository imports which: by name, in ten languages."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath

from longctx.ingest.code_structure import CodeFile, Use
from longctx.ingest.document import Span
from longctx.ingest.import_names import Target, targets

_SCRIPTS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_ENDINGS: dict[str, tuple[str, ...]] = {
    "python": (".py", "/__init__.py", ".pyi", ".pyx"),
    "javascript": ("", *_SCRIPTS, *(f"/index{suffix}" for suffix in _SCRIPTS)),
    "typescript": ("", *_SCRIPTS, *(f"/index{suffix}" for suffix in _SCRIPTS)),
    "java": (".java",),
    "c": ("",),
    "c++": ("",),
    "rust": (".rs", "/mod.rs", "/lib.rs"),
    "php": (".php", ""),
}
# How many parts at the end of a path may name something inside the file.
_INSIDE = {"python": 1, "java": 2, "rust": 99}


@dataclass(frozen=True, slots=True)
class Import:
    """An import in one file that leads to another, by their names, and where it stands."""

    importer: str
    imported: str
    span: Span


def import_graph(files: Sequence[CodeFile]) -> tuple[Import, ...]:
    """The Imports between the files in order; what leads out of them is left out.

    A path is looked up from the file that names it where it is relative, else from any directory,
    the nearest to that file first. A Go package, a C# namespace and a Java package stand for all
    their files.
    """
    lookup = _Lookup(files)
    found: list[Import] = []
    for file in files:
        name = file.document.name
        seen: set[str] = set()
        for use in file.imports:
            for target in targets(file.language, use):
                if file.language == "rust":
                    target = _from_file(file, use, target)
                for imported in lookup.files(file, target):
                    if imported != name and imported not in seen:
                        seen.add(imported)
                        found.append(Import(name, imported, _span(file, use)))
    return tuple(found)


def _span(file: CodeFile, use: Use) -> Span:
    return file.document.span(use.start, use.end)


class _Lookup:
    """The files by the ends of their paths."""

    def __init__(self, files: Sequence[CodeFile]) -> None:
        self._names = {file.document.name for file in files}
        self._ends: defaultdict[str, list[str]] = defaultdict(list)
        self._folders: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._namespaces: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            name = file.document.name
            path = PurePosixPath(name)
            self._ends[path.name].append(name)
            if path.name in ("__init__.py", "mod.rs", "lib.rs") or path.stem == "index":
                self._ends["/".join(path.parts[-2:])].append(name)
            self._folders[file.language, path.parent.name].append(name)
            for item in file.definitions if file.language == "c#" else ():
                if item.word == "namespace":
                    self._namespaces[item.name].append(name)

    def files(self, file: CodeFile, target: Target) -> Iterator[str]:
        """The files that a target in a file leads to."""
        language, parts = file.language, target.parts
        if language == "c#":
            yield from self._namespaces.get(".".join(parts), ())
            return
        if language == "rust":
            parts, up = _rust_path(file.document.name, parts)
            target = Target(parts, up)
        if not parts and target.up is None:
            return
        for dropped in range(min(_INSIDE.get(language, 0), max(0, len(parts) - 1)) + 1):
            shorter = parts[: len(parts) - dropped]
            found = self._file(file, Target(shorter, target.up))
            if found is not None:
                yield found
                return
        if language == "python" and target.up is not None and parts:
            if found := self._file(file, Target((), target.up)):
                yield found
        elif language in ("go", "java"):
            yield from self._package(language, parts)

    def _file(self, file: CodeFile, target: Target) -> str | None:
        endings = _ENDINGS.get(file.language, ())
        folder = PurePosixPath(file.document.name).parent
        if target.up is not None:
            if target.up > len(folder.parts):
                return None
            base = folder.parts[: len(folder.parts) - target.up]
            stem = "/".join((*base, *target.parts))
            stems = [stem]
            if file.language in ("javascript", "typescript") and stem.endswith(".js"):
                # TypeScript names the file that its own is compiled to.
                stems.append(stem.removesuffix(".js"))
            tries = (f"{one}{ending}".lstrip("/") for one in stems for ending in endings)
            return next((path for path in tries if path in self._names), None)
        if not target.parts:
            return None
        tail = "/".join(target.parts)
        for ending in endings:
            whole = f"{tail}{ending}"
            pieces = whole.split("/")
            last = "/".join(pieces[-2:]) if ending.startswith("/") else pieces[-1]
            fitting = [
                name
                for name in self._ends.get(last, ())
                if (name == whole or name.endswith(f"/{whole}"))
                and self._is_root(file, name, whole)
            ]
            if fitting:
                return max(
                    fitting, key=lambda name: (_shared(name, file.document.name), -len(name))
                )
        return None

    def _is_root(self, file: CodeFile, name: str, whole: str) -> bool:
        """Whether a path may be looked up from the directory that is left of it."""
        root = name[: -len(whole)].rstrip("/")
        own = file.document.name.startswith(f"{root}/" if root else "")
        if file.language == "python":
            package = f"{root}/__init__.py" if root else "__init__.py"
            first = whole.split("/")[0].removesuffix(".py")
            beside = root == str(PurePosixPath(file.document.name).parent).removeprefix(".")
            is_root, is_ours = package not in self._names, first not in sys.stdlib_module_names
            return (is_root and own) or (is_ours and (is_root or beside))
        if file.language in ("javascript", "typescript"):
            return False
        return "/" in whole or own or root.endswith("include")

    def _package(self, language: str, parts: tuple[str, ...]) -> Iterator[str]:
        """The files in the folder that a package path names, by as much of its end as there is."""
        for name in self._folders.get((language, parts[-1] if parts else ""), ()):
            folder = PurePosixPath(name).parent.parts
            shared = min(len(folder), len(parts))
            if folder[-shared:] == parts[-shared:] and not name.endswith("_test.go"):
                yield name


def _from_file(file: CodeFile, use: Use, target: Target) -> Target:
    """A Rust target as the file would name it that a module inside the file names."""
    num_inside = sum(
        item.start <= use.start < item.end for item in file.definitions if item.word == "mod"
    )
    num_up = sum(1 for part in target.parts if part == "super")
    if not num_inside or not num_up:
        return target
    if num_up <= num_inside:
        # What it names is in this file.
        return Target(())
    return Target(target.parts[num_inside:], target.up)


def _rust_path(name: str, parts: tuple[str, ...]) -> tuple[tuple[str, ...], int | None]:
    """The parts of a Rust path and how many directories up it begins."""
    path = PurePosixPath(name)
    folder = path.parent.parts
    owns_folder = path.name in ("mod.rs", "lib.rs", "main.rs")
    if parts[:1] == ("mod",):
        return ((*([] if owns_folder else [path.stem]), *parts[1:]), 0)
    if parts[:1] == ("crate",) and "src" in folder:
        return parts[1:], len(folder) - 1 - max(i for i, part in enumerate(folder) if part == "src")
    if parts[:1] == ("self",):
        return ((*([] if owns_folder else [path.stem]), *parts[1:]), 0)
    num_up = sum(1 for part in parts if part == "super")
    if num_up:
        return parts[num_up:], num_up - (not owns_folder)
    return (), None


def _shared(one: str, other: str) -> int:
    """How many directories at the beginning two names share."""
    pairs = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
