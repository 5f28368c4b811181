"""Suspicion: a place in code that is probably wrong, found by code alone and proved by its text."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from longctx.ingest.code_structure import code_file
from longctx.ingest.document import Document, Span
from longctx.ingest.import_graph import import_graph
from longctx.ingest.suspicion_checks import checks
from longctx.ingest.suspicion_flow import flow
from longctx.ingest.suspicion_names import Names, names, names_of
from longctx.ingest.suspicion_python import Hit, PythonFile, python_file
from longctx.ingest.suspicion_rules import RULES, SEVERITIES, Rule
from longctx.ingest.suspicion_security import security
from longctx.ingest.suspicion_state import state
from longctx.ingest.suspicion_syntax import syntax
from longctx.ingest.suspicion_values import values

_RULES_OF_ONE_FILE: tuple[Callable[[PythonFile], Iterator[Hit]], ...] = (
    security,
    values,
    flow,
    state,
    checks,
)
# Tests do on purpose much of what is wrong elsewhere.
_IN_TESTS = frozenset(
    "mutable-default undefined-name assert-tuple not-raised raise-not-implemented not-awaited "
    "changed-while-iterating format-arguments duplicate-key or-literal literal-identity "
    "index-past-end call-arguments exit-in-finally".split()
)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One place: its kind (a key of RULES), the Span, what the code there does, related Spans."""

    kind: str
    span: Span
    why: str
    related: tuple[Span, ...] = ()

    @property
    def rule(self) -> Rule:
        """What its kind is."""
        return RULES[self.kind]


@dataclass(frozen=True, slots=True)
class Suspicions:
    """All Suspicions of a set of Documents, worst first, and the names of the files looked at."""

    found: tuple[Suspicion, ...]
    looked_at: frozenset[str]


def suspicions(documents: Iterable[Document]) -> Suspicions:
    """The Suspicions of all Documents: Python by its own grammar, the rest by tree-sitter.

    What was copied in from elsewhere is not looked at.
    """
    documents = tuple(one for one in documents if not one.is_copied_in)
    python = [file for one in documents if (file := python_file(one)) is not None]
    known, imports = names_of(python), _imports(python)
    found = [one for file in python for one in _of_python(file, known, imports)]
    looked_at = {file.document.name for file in python}
    for document in documents:
        if document.name not in looked_at and (hits := syntax(document)) is not None:
            looked_at.add(document.name)
            found += [Suspicion(kind, document.span(*place), why) for kind, place, why in hits]
    order = {document.name: index for index, document in enumerate(documents)}
    found.sort(
        key=lambda one: (SEVERITIES.index(one.rule.severity), order[one.span.name], one.span.start)
    )
    return Suspicions(tuple(dict.fromkeys(found)), frozenset(looked_at))


def _of_python(
    file: PythonFile, known: Names, imports: dict[str, list[str]]
) -> Iterator[Suspicion]:
    hits = [hit for rules in _RULES_OF_ONE_FILE for hit in rules(file)]
    for hit in [*hits, *names(file, known, imports)]:
        if file.is_test and hit.kind not in _IN_TESTS:
            continue
        related = tuple(_span(known.files.get(node, file), node) for node in hit.related)
        yield Suspicion(hit.kind, _span(file, hit.node), hit.why, related)


def _span(file: PythonFile, node: ast.AST) -> Span:
    return file.document.span(*file.place(node))


def _imports(files: Sequence[PythonFile]) -> dict[str, list[str]]:
    parsed = [one for file in files if (one := code_file(file.document)) is not None]
    found: defaultdict[str, list[str]] = defaultdict(list)
    for edge in import_graph(parsed):
        found[edge.importer].append(edge.imported)
    return dict(found)
