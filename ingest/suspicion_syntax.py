"""Suspicions in the other languages that are parsed: told from their syntax trees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from longctx.ingest.code_languages import language_of
from longctx.ingest.code_structure import syntax_tree
from longctx.ingest.document import Document

if TYPE_CHECKING:
    from tree_sitter import Node

Found = tuple[str, tuple[int, int], str]

_BINARY = frozenset("binary_expression".split())
_COMPARING = frozenset("== != === !== < > <= >= && ||".split())
_LEAVING = frozenset(
    "return_statement throw_statement break_statement continue_statement return_expression".split()
)
_BLOCKS = frozenset("statement_block block compound_statement".split())
_DECLARED = frozenset(
    "function_declaration class_declaration comment line_comment block_comment".split()
)
_C_DANGERS = {
    "gets": "`gets` reads a line of any length into the buffer.",
    "strcpy": "`strcpy` copies until the end of the source, however small the target is.",
    "strcat": "`strcat` appends until the end of the source, however small the target is.",
    "sprintf": "`sprintf` writes as much as the format makes, however small the target is.",
}
# The name says that dropping the error is meant.
_SAID = re.compile(r"\b(?:ignored?|expected|unused|_)\b", re.IGNORECASE)
_NO_CHECK = re.compile(
    r"InsecureSkipVerify:\s*true|rejectUnauthorized:\s*false"
    r"|CURLOPT_SSL_VERIFYPEER\s*,\s*(?:false|0)\b"
)


def syntax(document: Document) -> list[Found] | None:
    """Kind, place and explanation of each Suspicion; None if the language is not parsed."""
    language = language_of(document.name)
    if language is None or language.name == "python":
        return None
    tree = syntax_tree(document)
    if tree is None:
        return None
    found: list[Found] = []
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        pending += reversed(node.named_children)
        found += _of_node(document.text, node, language.name)
    if "test" not in document.name.lower():
        for match in _NO_CHECK.finditer(document.text):
            why = f"`{match[0]}` accepts any certificate."
            found.append(("no-certificate-check", match.span(), why))
    return sorted(found, key=lambda one: one[1])


def _of_node(text: str, node: Node, language: str) -> Iterator[Found]:
    place = node.start_byte, node.end_byte
    if node.has_error:
        return
    if node.type in _BINARY:
        yield from _operation(text, node)
    elif node.type == "assignment_expression":
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        plain = left is not None and right is not None and _text(text, left) == _text(text, right)
        operator = node.child_by_field_name("operator")
        if plain and _is_simple(left) and (operator is None or operator.type == "="):
            yield "self-assignment", place, f"`{_short(text, node)}` changes nothing."
    elif node.type == "if_statement":
        yield from _branches(text, node)
    elif node.type in _BLOCKS:
        yield from _after_leaving(text, node)
    elif node.type == "catch_clause":
        body = node.child_by_field_name("body")
        head = text[node.start_byte : body.start_byte] if body is not None else ""
        said = _SAID.search(head) is not None
        if body is not None and not body.named_children and language != "c++" and not said:
            why = "Whatever goes wrong in the block above is dropped without a trace."
            yield "dropped-error", (node.start_byte, body.end_byte), why
    elif node.type in ("call_expression", "function_call_expression"):
        yield from _call(text, node, language)


def _operation(text: str, node: Node) -> Iterator[Found]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    operator = node.child_by_field_name("operator")
    if left is None or right is None or operator is None or operator.type not in _COMPARING:
        return
    # x != x is how one asks for NaN.
    asks_nan = operator.type in ("!=", "!==", "==", "===")
    if _text(text, left) == _text(text, right) and _is_pure(left) and left.type != "number_literal":
        if not (asks_nan and _is_simple(left)):
            why = f"`{_short(text, node)}` has the same on both sides."
            yield "same-both-sides", (node.start_byte, node.end_byte), why


def _branches(text: str, node: Node) -> Iterator[Found]:
    body = node.child_by_field_name("consequence")
    other = node.child_by_field_name("alternative")
    if other is not None and other.type == "else_clause" and other.named_children:
        other = other.named_children[-1]
    if body is None or other is None or other.type == "if_statement":
        return
    words = _text(text, body).split()
    if len(words) > 3 and words == _text(text, other).split():
        line = text.find("\n", node.start_byte)
        end = min(node.end_byte, line if line >= 0 else node.end_byte)
        why = "Both branches of the condition hold the same code."
        yield "same-branches", (node.start_byte, end), why


def _after_leaving(text: str, node: Node) -> Iterator[Found]:
    children = [one for one in node.named_children if "comment" not in one.type]
    for one, after in zip(children, children[1:], strict=False):
        leaves = one.type in _LEAVING or (
            one.type == "expression_statement"
            and one.named_children
            and one.named_children[0].type == "return_expression"
        )
        if _text(text, after) == ";":
            continue
        if leaves and after.type not in _DECLARED and after.type in _REACHED_IN_ORDER:
            line = text.find("\n", after.start_byte)
            end = min(after.end_byte, line if line >= 0 else after.end_byte)
            why = f"`{_short(text, one)}` always leaves before."
            yield "unreachable", (after.start_byte, end), why
            return


_REACHED_IN_ORDER = _LEAVING | frozenset(
    "expression_statement if_statement for_statement while_statement try_statement "
    "local_variable_declaration lexical_declaration short_var_declaration let_declaration".split()
)


def _call(text: str, node: Node, language: str) -> Iterator[Found]:
    function, arguments = (
        node.child_by_field_name("function"),
        node.child_by_field_name("arguments"),
    )
    if function is None or arguments is None:
        return
    name, place = _text(text, function), (node.start_byte, node.end_byte)
    given = arguments.named_children
    if language in ("c", "c++") and name in _C_DANGERS:
        constant = len(given) > 1 and given[1].type == "string_literal" and name != "gets"
        if not (constant and "%s" not in _text(text, given[1])):
            yield "dangerous-function", place, _C_DANGERS[name]
    constant = bool(given) and re.match(r"(?:string|number|argument$)", given[0].type) is not None
    if given and given[0].type == "argument" and given[0].named_children:
        constant = given[0].named_children[0].type in ("string", "encapsed_string")
    if given and not constant:
        shown = _short(text, given[0])
        if language in ("javascript", "typescript", "php") and name == "eval":
            why = f"`{shown}` is run as code with all rights of the program."
            yield "code-from-text", place, why
        if (language in ("c", "c++") and name in ("system", "popen")) or (
            language == "php" and name in ("system", "exec", "shell_exec", "passthru")
        ):
            if "escapeshell" not in shown:
                why = f"`{shown}` goes to a shell, which also runs what stands behind a ; in it."
                yield "shell-command", place, why


def _text(text: str, node: Node) -> str:
    return text[node.start_byte : node.end_byte]


def _short(text: str, node: Node) -> str:
    shown = " ".join(_text(text, node).split())
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _is_simple(node: Node | None) -> bool:
    return node is not None and node.type in ("identifier", "variable_name", "this")


def _is_pure(node: Node) -> bool:
    """Whether the expression calls and changes nothing."""
    if "call" in node.type or "invocation" in node.type or "update" in node.type:
        return False
    if "macro" in node.type or "await" in node.type or "assignment" in node.type:
        return False
    return all(_is_pure(child) for child in node.named_children)
