"""A file of Python as the rules look at it: its syntax tree, indexed, with places in the text."""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from longctx.ingest.document import Document

Node = TypeVar("Node", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
# More than this was made by a program.
MAX_CHARACTERS = 2_000_000


class Hit(NamedTuple):
    """What a rule found: its kind, the node, what the code does, and other nodes it is about."""

    kind: str
    node: ast.AST
    why: str
    related: tuple[ast.AST, ...] = ()


@dataclass(frozen=True)
class PythonFile:
    """A Document whose text is Python; `kinds` holds the nodes by their type, in walking order."""

    document: Document
    tree: ast.Module
    kinds: dict[type[ast.AST], list[ast.AST]]
    parents: dict[ast.AST, ast.AST]
    is_test: bool
    imported: dict[str, str] = field(default_factory=dict)
    _own: dict[ast.AST, list[ast.AST]] = field(default_factory=dict)

    def all(self, *types: type[Node]) -> Iterator[Node]:
        """Every node of the types."""
        for kind in types:
            yield from self.kinds.get(kind, ())  # type: ignore[misc]

    def functions(self) -> Iterator[Function]:
        """Every function and method."""
        yield from self.all(ast.FunctionDef)
        yield from self.all(ast.AsyncFunctionDef)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from the innermost to the module."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def function_of(self, node: ast.AST) -> Function | None:
        """The innermost function around a node."""
        return next((one for one in self.around(node) if isinstance(one, FUNCTIONS)), None)

    def own(self, node: Function | ast.If | ast.For) -> list[ast.AST]:
        """The nodes of the body in order, without those of inner functions; worked out once."""
        if node not in self._own:
            self._own[node] = list(own_nodes(list(node.body)))
        return self._own[node]

    def dotted(self, node: ast.AST) -> str:
        """`subprocess.run` for a name or attribute, imports resolved; "" for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.imported.get(node.id, node.id))
        return ".".join(reversed(parts))

    def in_try(self, node: ast.AST) -> bool:
        """Whether an error here is waited for: in a try body or a `with raises`."""
        child = node
        for parent in self.around(node):
            if isinstance(parent, FUNCTIONS):
                return False
            if isinstance(parent, ast.Try) and parent.handlers and child in parent.body:
                return True
            if isinstance(parent, ast.With) and "aises" in ast.dump(parent.items[0].context_expr):
                return True
            child = parent
        return False

    def source(self, node: ast.AST) -> str:
        """The text of a node on one line, at most 60 characters of it."""
        start, end = self.place(node)
        text = " ".join(self.document.text[start:end].split())
        return text if len(text) <= 60 else f"{text[:57]}..."

    def place(self, node: ast.AST) -> tuple[int, int]:
        """Where the node stands in the text; of a compound statement only its first line."""
        start = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        if isinstance(node, (ast.stmt, ast.ExceptHandler)) and hasattr(node, "body"):
            end = self.document.text.find("\n", start)
            return start, len(self.document.text) if end < 0 else end
        end_line, end_column = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return start, self._offset(end_line, end_column)

    def _offset(self, line: int, column: int) -> int:
        starts = self.document.line_starts
        start = starts[line - 1]
        end = starts[line] if line < len(starts) else len(self.document.text)
        text = self.document.text[start:end]
        if text.isascii():
            return start + column
        return start + len(text.encode()[:column].decode(errors="ignore"))


def python_file(document: Document) -> PythonFile | None:
    """The Document as Python; None if it is none, or not of the version that this runs on."""
    text = document.text
    if not document.name.endswith((".py", ".pyw")) or len(text) > MAX_CHARACTERS or "\r" in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        kinds: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            kinds[type(node)].append(node)
            for child in ast.iter_child_nodes(node):
                parents[child] = node
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    path = document.name.split("/")
    is_test = any(part in ("test", "tests", "testing") for part in path[:-1]) or path[
        -1
    ].startswith(("test_", "conftest"))
    is_test = is_test or path[-1].endswith("_test.py")
    return PythonFile(document, tree, kinds, parents, is_test, _imported(kinds))


def _imported(kinds: dict[type[ast.AST], list[ast.AST]]) -> dict[str, str]:
    """What each imported name stands for, in full."""
    names: dict[str, str] = {}
    for node in kinds.get(ast.Import, ()):
        assert isinstance(node, ast.Import)
        for alias in node.names:
            if alias.asname:
                names[alias.asname] = alias.name
    for node in kinds.get(ast.ImportFrom, ()):
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            names[alias.asname or alias.name] = (
                f"{'.' * node.level}{node.module or ''}.{alias.name}"
            )
    return names


def same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two nodes are the same code."""
    return type(one) is type(other) and bare(one) == bare(other)


def bare(node: ast.AST) -> str:
    """The node as text that does not tell loading from storing."""
    return ast.dump(node).replace("Store()", "Load()").replace("Del()", "Load()")


def own_nodes(body: list[ast.stmt] | ast.AST) -> Iterator[ast.AST]:
    """The nodes of the body in the order of the code, those of inner functions left out."""
    pending: list[ast.AST] = list(reversed(body)) if isinstance(body, list) else [body]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, SCOPES):
            pending += list(ast.iter_child_nodes(node))[::-1]


def is_pure(node: ast.AST) -> bool:
    """Whether the expression calls, awaits, yields and assigns nothing."""
    busy = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return not any(isinstance(one, busy) for one in ast.walk(node))


def constant_text(node: ast.AST | None) -> str | None:
    """The string that the node is; None if it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of a keyword argument."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def is_name(node: ast.AST, name: str) -> bool:
    """Whether the node is just this name."""
    return isinstance(node, ast.Name) and node.id == name
