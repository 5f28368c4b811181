"""What the imports of ten languages name: the parts of a path, and from where it is looked up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from longctx.ingest.code_structure import Use


class Target(NamedTuple):
    """A path that an import names: its parts, and how many directories up it begins.

    `up` is None for a path that is looked up from the roots of the code. Of `parts`, the last ones
    may name something inside a file.
    """

    parts: tuple[str, ...]
    up: int | None = None


_PYTHON_FROM = re.compile(r"from\s+(\.*)\s*([\w.]*)\s+import\s+(.*)", re.S)
_QUOTED = re.compile(r"[\"'<]([^\"'<>]+)[\"'>]")


def targets(language: str, use: Use) -> Iterator[Target]:
    """The paths that one import of a file names."""
    return _READERS[language](use.text)


def _python(text: str) -> Iterator[Target]:
    match = _PYTHON_FROM.match(text)
    if match is None:
        for name in text.removeprefix("import").split(","):
            yield Target(_dotted(name.split(" as ")[0]))
        return
    up = len(match[1]) - 1 if match[1] else None
    module = _dotted(match[2])
    names = re.sub(r"#.*|[()\\]", " ", match[3]).split(",")
    for name in names:
        last = tuple(name.split()[:1])
        yield Target((*module, *(() if last == ("*",) else last)), up)


def _script(text: str) -> Iterator[Target]:
    path = text.strip("\"'`")
    if not path.startswith("."):
        yield Target(tuple(path.split("/")))
        return
    yield _relative(path)


def _relative(path: str) -> Target:
    up = 0
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
            else:
                up += 1
        elif part not in ("", "."):
            parts.append(part)
    return Target(tuple(parts), up)


def _java(text: str) -> Iterator[Target]:
    yield Target(_dotted(re.sub(r"^import\s+(?:static\s+)?|[;*]", "", text)))


def _include(text: str) -> Iterator[Target]:
    path = _QUOTED.search(text)
    if path is not None:
        if text.startswith('"'):
            yield _relative(path[1])
        yield Target(tuple(path[1].split("/")))


def _sharp(text: str) -> Iterator[Target]:
    yield Target(_dotted(re.sub(r"^(?:global\s+)?using\s+(?:static\s+)?(?:\w+\s*=)?|;", "", text)))


def _go(text: str) -> Iterator[Target]:
    yield Target(tuple(text.strip('"`').split("/")))


def _rust(text: str) -> Iterator[Target]:
    text = re.sub(r"//.*|^pub(?:\([^)]*\))?\s+", "", text).strip().rstrip(";")
    if match := re.search(r"\bmod\s+(\w+)$", text):
        yield Target(("mod", match[1]), 0)
        return
    for path in _expanded(re.sub(r"^.*?\buse\s+", "", text, count=1, flags=re.S)):
        parts = [part.strip() for part in path.split(" as ")[0].split("::")]
        yield Target(tuple(part for part in parts if part and part != "*"))


def _expanded(path: str) -> Iterator[str]:
    """The paths in `a::{b, c::{d, e}}`."""
    head, brace, rest = path.partition("{")
    if not brace:
        yield path
        return
    depth, item = 0, ""
    for character in rest:
        if character in ",}" and depth == 0:
            if item.strip():
                for inner in _expanded(item.strip()):
                    yield head.strip() + inner
            item = ""
            if character == "}":
                return
        else:
            depth += {"{": 1, "}": -1}.get(character, 0)
            item += character


def _php(text: str) -> Iterator[Target]:
    if not text.startswith("use"):
        if path := _QUOTED.search(text):
            yield _relative(path[1].lstrip("/"))
        return
    for name in text.removeprefix("use").rstrip(";").split(","):
        words = re.sub(r"^\s*(?:function|const)\s+", "", name.split(" as ")[0]).strip()
        yield Target(tuple(words.strip("\\").split("\\")))


def _dotted(name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in name.split(".") if part.strip())


_READERS: dict[str, Callable[[str], Iterator[Target]]] = {
    "python": _python,
    "javascript": _script,
    "typescript": _script,
    "java": _java,
    "c": _include,
    "c++": _include,
    "c#": _sharp,
    "go": _go,
    "rust": _rust,
    "php": _php,
}
