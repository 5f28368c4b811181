"""Where the code in the bodies of functions stands, without what only names, types or tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from longctx.ingest.code_structure import syntax_tree
from longctx.ingest.document import Document

if TYPE_CHECKING:
    from tree_sitter import Node

# Words in the kind of a node that make it a function; its `body` is what it does.
_FUNCTIONS = ("function", "method", "constructor", "closure", "lambda", "func_literal")
# Words in the kind of a node that make it no code that is run as it stands.
_NO_CODE = (
    "comment",
    "string",
    "template",
    "char_literal",
    "regex",
    "heredoc",
    "type",
    "parameter",
    "import",
    "use_declaration",
    "decorator",
    "annotation",
    "attribute_item",
)


def body_code(document: Document) -> list[tuple[int, int]]:
    """The places of all words and signs of code in the bodies of functions, in order.

    None of comments, strings, types, parameters, decorators and imports; nothing at all where the
    language of the Document is not parsed.
    """
    tree = syntax_tree(document)
    return [] if tree is None else list(_leaves(tree.root_node))


def _leaves(root: Node) -> Iterator[tuple[int, int]]:
    """The leaves in bodies; a stack, since code may be nested deeper than calls may be."""
    left: list[tuple[Node, bool]] = [(root, False)]
    while left:
        node, in_body = left.pop()
        if node.is_named and any(word in node.type for word in _NO_CODE):
            continue
        if not node.child_count:
            if in_body and node.end_byte > node.start_byte:
                yield node.start_byte, node.end_byte
            continue
        is_function = any(word in node.type for word in _FUNCTIONS)
        body = node.child_by_field_name("body") if is_function else None
        for child in reversed(node.children):
            inside = child == body if body is not None else in_body
            left.append((child, inside))
