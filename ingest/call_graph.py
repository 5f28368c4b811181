"""Which definition of a repository is called from where, by name."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from longctx.ingest.code_structure import CodeFile, Definition
from longctx.ingest.document import Span
from longctx.ingest.import_graph import Import

# A name that more definitions bear than this says nothing about which of them is called.
MAX_NAMESAKES = 5

_PACKAGES = ("__init__.py", "/index.js", "/index.ts", "/mod.rs", "/lib.rs")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a definition: the Span of the name, the definition it stands in ("" for none).

    `is_certain` says that no other definition within reach bears the name.
    """

    callee: str
    callee_span: Span
    caller: str
    span: Span
    is_certain: bool


def call_graph(files: Sequence[CodeFile], imports: Iterable[Import]) -> tuple[Call, ...]:
    """The Calls of definitions in the files, in the order of the calls.

    A name is looked up in its own file, then in the files that this imports, then in all; the first
    that have it decide. A name called on something else is looked up in all three at once.
    """
    by_name: defaultdict[str, list[tuple[CodeFile, Definition]]] = defaultdict(list)
    for file in files:
        for item in file.definitions:
            by_name[item.own_name].append((file, item))
    reach: defaultdict[str, set[str]] = defaultdict(set)
    for edge in imports:
        reach[edge.importer].add(edge.imported)
    for imported in list(reach.values()):
        # What a package gives on from its own files is imported with it.
        for name in [name for name in imported if name.endswith(_PACKAGES)]:
            imported |= reach.get(name, set())
    return tuple(call for file in files for call in _calls(file, by_name, reach))


def _calls(
    file: CodeFile,
    by_name: dict[str, list[tuple[CodeFile, Definition]]],
    reach: dict[str, set[str]],
) -> Iterator[Call]:
    document = file.document
    near = reach.get(document.name, set())
    for use in file.calls:
        everywhere = by_name.get(use.text, [])
        own = [pair for pair in everywhere if pair[0] is file]
        imported = [pair for pair in everywhere if pair[0].document.name in near]
        found = [*own, *imported] or everywhere if use.member else own or imported or everywhere
        if not 0 < len(found) <= MAX_NAMESAKES:
            continue
        caller = _around(file.definitions, use.start)
        span = document.span(use.start, use.end)
        for other, item in found:
            place = other.document.span(item.start, item.end)
            yield Call(item.name, place, caller, span, len(found) == 1)


def _around(definitions: Sequence[Definition], offset: int) -> str:
    """The name of the innermost definition at an offset."""
    index = bisect_right(definitions, offset, key=lambda item: item.start)
    for item in reversed(definitions[:index]):
        if item.end > offset:
            return item.name
        if item.depth == 0:
            break
    return ""
