"""Where a program begins: main functions and guards, declared scripts, images and web routes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from longctx.ingest.document import Document, Span

_MAINS = {
    "main guard": (r"^if __name__ == [\"']__main__[\"']:", (".py", ".pyw")),
    "main function": (
        r"^func main\(\)|^(?:pub )?(?:async )?fn main\(\)|^(?:int|void)\s+w?main\s*\("
        r"|\bpublic static void main\s*\("
        r"|\bstatic\s+(?:async\s+)?(?:void|int|Task(?:<int>)?)\s+Main\s*\(",
        (".go", ".rs", ".c", ".cc", ".cpp", ".cxx", ".java", ".kt", ".cs"),
    ),
    "web route": (
        r"^[ \t]*@[\w.]+\.(?:route|get|post|put|patch|delete)\(\s*[\"'](?P<name>[^\"']*)"
        r"|\b(?:app|router|server)\.(?:get|post|put|patch|delete|all|use)\("
        r"\s*[\"'`](?P<script>/[^\"'`]*)"
        r"|^\s*(?:re_)?path\(\s*r?[\"'](?P<django>[^\"']*)[\"'],"
        r"|@(?:Get|Post|Put|Patch|Delete|Request)Mapping\(\s*(?:value\s*=\s*)?\"(?P<spring>[^\"]*)"
        r"|\bHandle(?:Func)?\(\s*\"(?P<go>/[^\"]*)"
        r"|\[(?:Http(?:Get|Post|Put|Patch|Delete)|Route)\(\"(?P<sharp>[^\"]*)",
        (".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".java", ".kt", ".go", ".cs"),
    ),
}
_MAIN_PATTERNS = {kind: (re.compile(rule, re.M), ends) for kind, (rule, ends) in _MAINS.items()}
_IMAGE = re.compile(r"^[ \t]*(?:CMD|ENTRYPOINT)[ \t]+(?P<name>(?:.*\\\n)*.*)$", re.M | re.I)
_SETUP = re.compile(r"[\"'](?P<name>[\w.-]+)\s*=\s*[\w.]+:[\w.]+(?:\s*\[[^\]]*\])?[\"']")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A place where a program begins.

    `kind` is "main guard", "main function", "main module", "script", "image" or "web route"; `name`
    is that of a script, the command of an image or the path of a route.
    """

    kind: str
    name: str
    span: Span


def entry_points(documents: Iterable[Document]) -> tuple[EntryPoint, ...]:
    """The EntryPoints of the Documents in order; files that cannot be parsed have none."""
    return tuple(point for document in documents for point in _points(document))


def _points(document: Document) -> Iterator[EntryPoint]:
    text, path = document.text, PurePosixPath(document.name)
    if path.name == "__main__.py":
        yield EntryPoint("main module", path.parent.name, document.span(0, len(text)))
    for kind, (pattern, endings) in _MAIN_PATTERNS.items():
        for match in pattern.finditer(text) if path.suffix in endings else ():
            name = next((group for group in match.groups() if group is not None), "")
            start = match.end() - len(match[0].lstrip())
            yield EntryPoint(kind, name, document.span(start, match.end()))
    if path.name.lower().startswith("dockerfile") or path.suffix == ".dockerfile":
        for match in _IMAGE.finditer(text):
            yield EntryPoint("image", match["name"].strip(), document.span(*match.span("name")))
    elif path.name == "setup.py" and "console_scripts" in text:
        for match in _SETUP.finditer(text, text.index("console_scripts")):
            yield EntryPoint("script", match["name"], document.span(*match.span()))
    else:
        for name in _DECLARED.get(path.name, _none)(text):
            yield EntryPoint("script", name, _line_of(document, name))


def _line_of(document: Document, name: str) -> Span:
    """The line that gives the name a value; the first of the text if none is found."""
    line = rf"^[ \t{{,]*[\"']?{re.escape(name)}[\"']?[ \t]*[:=].*$"
    match = re.search(line, document.text, re.M) or re.search(".*", document.text)
    assert match is not None
    return document.span(*match.span())


def _pyproject(text: str) -> Iterator[str]:
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    project, poetry = _table(tables, "project"), _table(tables, "tool", "poetry")
    for table in (project, poetry):
        for key in ("scripts", "gui-scripts"):
            yield from _table(table, key)


def _setup_cfg(text: str) -> Iterator[str]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except ConfigError:
        return
    for key in ("console_scripts", "gui_scripts"):
        for line in parser.get("options.entry_points", key, fallback="").splitlines():
            if "=" in line:
                yield line.split("=")[0].strip()


def _package_json(text: str) -> Iterator[str]:
    try:
        package = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(_table(package).get("bin"), str):
        yield "bin"
    for key in ("bin", "scripts"):
        yield from _table(package, key)


def _none(text: str) -> Iterator[str]:
    yield from ()


def _table(value: Any, *keys: str) -> dict[str, Any]:
    """The table at the keys, empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


_DECLARED = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "package.json": _package_json,
}
