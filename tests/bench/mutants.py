"""Small wrong edits that are made in code by its syntax: seven kinds, in functions drawn by chance.

Each changes one line of one function to code that parses and does something else.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """An edit of the text from `start` to `end`; `line` is the one that it changes."""

    kind: str
    start: int
    end: int
    new: str
    line: int


Function = ast.FunctionDef | ast.AsyncFunctionDef
# What stands at a node, and what is to stand there.
Change = tuple[ast.expr | ast.stmt, str]
_OPPOSITE = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}


def wrong_variable(function: Function) -> Iterator[Change]:
    """Another local name of the function instead of the right one."""
    locals_ = _locals(function)
    for node in _inside(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in locals_:
            before = [one for one, line in locals_.items() if line < node.lineno]
            yield from ((node, one) for one in before if one not in (node.id, "self", "cls"))


def wrong_attribute(function: Function) -> Iterator[Change]:
    """Another attribute of `self` that the function reads."""
    own = {
        node.attr: node
        for node in _inside(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and isinstance(node.ctx, ast.Load)
    }
    for node in own.values():
        yield from ((node, f"self.{other}") for other in own if other != node.attr)


def swapped_arguments(function: Function) -> Iterator[Change]:
    """The first two arguments of a call the wrong way round."""
    for node in _inside(function):
        if isinstance(node, ast.Call) and len(node.args) >= 2 and _one_line(node):
            first, second = (ast.unparse(one) for one in node.args[:2])
            if first != second and isinstance(node.args[0], ast.Name | ast.Attribute):
                rest = [ast.unparse(one) for one in (*node.args[2:], *node.keywords)]
                called = ast.unparse(node.func)
                yield node, f"{called}({', '.join([second, first, *rest])})"


def wrong_comparison(function: Function) -> Iterator[Change]:
    """`<=` for `<`, `is not` for `is`, and so on."""
    for node in _inside(function):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and _one_line(node):
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            yield node, f"{left} {_OPPOSITE[type(node.ops[0])]} {right}"


def inverted_condition(function: Function) -> Iterator[Change]:
    """A condition with `not`, or without."""
    for node in _inside(function):
        if isinstance(node, ast.If) and _one_line(node.test):
            test = node.test
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                yield test, ast.unparse(test.operand)
            elif isinstance(test, ast.Name | ast.Attribute | ast.Call):
                yield test, f"not {ast.unparse(test)}"


def off_by_one(function: Function) -> Iterator[Change]:
    """One more or less than a number, or without the one that is added."""
    for node in _inside(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            if isinstance(node.right, ast.Constant) and node.right.value == 1 and _one_line(node):
                yield node, ast.unparse(node.left)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, int):
                yield node.slice, str(node.slice.value + 1)


def lost_result(function: Function) -> Iterator[Change]:
    """A name that is not set to what a call on it returns."""
    locals_ = _locals(function)
    for node in _inside(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _one_line(node):
            target = node.targets[0]
            known = isinstance(target, ast.Name) and locals_.get(target.id, node.lineno)
            if known and known < node.lineno:
                yield node, ast.unparse(node.value)


KINDS: dict[str, Callable[[Function], Iterator[Change]]] = {
    "wrong variable": wrong_variable,
    "wrong attribute": wrong_attribute,
    "swapped arguments": swapped_arguments,
    "wrong comparison": wrong_comparison,
    "inverted condition": inverted_condition,
    "off by one": off_by_one,
    "lost result": lost_result,
}


def mutants(text: str, seed: str) -> list[Mutant]:
    """One Mutant in every other function of three statements and more, kinds in turn, in order."""
    draw, kinds = random.Random(seed), list(KINDS)
    draw.shuffle(kinds)
    offsets = [0]
    for line in text.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found: list[Mutant] = []
    functions = [one for one in ast.walk(ast.parse(text)) if isinstance(one, Function)]
    functions.sort(key=lambda one: one.lineno)
    last = 0
    for number, function in enumerate(functions):
        if number % 2 or function.lineno <= last or len(function.body) < 3:
            continue
        for kind in kinds:
            if changes := list(KINDS[kind](function)):
                node, new = draw.choice(changes)
                start, end = (
                    len(text.encode()[: offsets[line - 1] + column].decode())
                    for line, column in (
                        (node.lineno, node.col_offset),
                        (node.end_lineno or 0, node.end_col_offset or 0),
                    )
                )
                found.append(Mutant(kind, start, end, new, node.lineno))
                # each kind as often as it can be
                kinds.remove(kind)
                kinds.append(kind)
                last = function.end_lineno or 0
                break
    return found


def changed(text: str, made: list[Mutant]) -> str:
    """The text with all Mutants in it; its lines are the same ones."""
    for one in reversed(made):
        text = text[: one.start] + one.new + text[one.end :]
    ast.parse(text)
    return text


def _inside(function: Function) -> Iterator[ast.AST]:
    for statement in function.body:
        for node in ast.walk(statement):
            if not isinstance(node, ast.JoinedStr):
                yield node


def _locals(function: Function) -> dict[str, int]:
    """The names that a function binds, and the line where it first does."""
    arguments = function.args
    names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    bound = dict.fromkeys((one.arg for one in names), function.lineno)
    for node in _inside(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = min(bound.get(node.id, node.lineno), node.lineno)
    return bound


def _one_line(node: ast.expr | ast.stmt) -> bool:
    return node.end_lineno == node.lineno
