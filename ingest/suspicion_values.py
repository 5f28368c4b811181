"""Suspicions about expressions in Python: comparisons, lost results, formats, copied names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from longctx.ingest.suspicion_python import (
    FUNCTIONS,
    Hit,
    PythonFile,
    bare,
    constant_text,
    is_pure,
    keyword,
    same,
)

_PURE = frozenset("str repr sorted reversed zip enumerate isinstance abs round sum min max".split())
_PURE_DOTTED = frozenset(
    "os.path.join os.path.dirname os.path.abspath os.path.basename os.path.normpath "
    "os.path.realpath os.path.expanduser re.sub copy.copy copy.deepcopy dataclasses.replace".split()
)
# Methods of str and bytes that nothing else has, with the most arguments they take.
_PURE_METHODS = {
    "strip": 1,
    "lstrip": 1,
    "rstrip": 1,
    "upper": 0,
    "lower": 0,
    "casefold": 0,
    "capitalize": 0,
    "title": 0,
    "splitlines": 1,
    "startswith": 2,
    "endswith": 2,
    "removeprefix": 1,
    "removesuffix": 1,
    "zfill": 1,
    "isoformat": 0,
}
_COMBINING = frozenset("extend update append issubset issuperset union isdisjoint".split())
_FIELD = re.compile(r"(?<!\{)\{([A-Za-z_]\w*)(?:[.\[][^{}]*)?(?:![rsa])?(?::[^{}]*)?\}(?!\})")
_PERCENT = re.compile(r"%(?:%|(\(\w+\))?[-#0 +]*(\*|\d+)?(?:\.(\*|\d+))?[hlL]?[diouxXeEfFgGcrsa])")
_LOGGED = frozenset("debug info warning warn error critical exception".split())


def values(file: PythonFile) -> Iterator[Hit]:
    """The Hits of all rules about expressions."""
    for compare in file.all(ast.Compare):
        yield from _compared(file, compare)
    for statement in file.all(ast.Expr):
        yield from _dropped(file, statement)
    for branch in file.all(ast.If):
        yield from _branches(file, branch)
    for choice in file.all(ast.IfExp):
        if same(choice.body, choice.orelse):
            why = f"Both values of the condition `{file.source(choice.test)}` are the same."
            yield Hit("same-branches", choice, why)
    for assign in file.all(ast.Assign):
        yield from _assigned(file, assign)
    for operation in file.all(ast.BoolOp):
        yield from _joined(file, operation)
    for test in file.all(ast.Assert):
        if isinstance(test.test, ast.Tuple) and test.test.elts:
            yield Hit("assert-tuple", test, "A tuple that holds anything is true.")
    for table in file.all(ast.Dict):
        yield from _keys(file, table)
    for call in file.all(ast.Call):
        yield from _combined(file, call)
        yield from _formatted(file, call)
    for operator in file.all(ast.BinOp):
        yield from _percent(file, operator)
    yield from _copied(file)


def _compared(file: PythonFile, node: ast.Compare) -> Iterator[Hit]:
    if len(node.ops) != 1:
        return
    left, op, right = node.left, node.ops[0], node.comparators[0]
    if isinstance(op, (ast.Is, ast.IsNot)):
        for side in (left, right):
            literal = isinstance(side, ast.Constant) and isinstance(
                side.value, (str, bytes, int, float)
            )
            if (literal and not isinstance(side.value, bool)) or isinstance(  # type: ignore[attr-defined]
                side, (ast.Tuple, ast.List, ast.Dict)
            ):
                why = f"`{file.source(node)}` asks whether both are one object, not whether equal."
                yield Hit("literal-identity", node, why)
    if same(left, right) and is_pure(left) and not isinstance(left, ast.Constant):
        # x != x is how one asks for NaN.
        may_be_nan = isinstance(left, ast.Name) and isinstance(op, (ast.Eq, ast.NotEq))
        if not may_be_nan and not file.is_test:
            why = f"`{file.source(node)}` compares a value with itself."
            yield Hit("same-both-sides", node, why)


def _dropped(file: PythonFile, statement: ast.Expr) -> Iterator[Hit]:
    node = statement.value
    if file.is_test or file.in_try(statement):
        return
    if isinstance(node, (ast.Compare, ast.BoolOp)) and is_pure(node):
        why = f"The value of `{file.source(node)}` is computed and used by nothing."
        yield Hit("no-effect", statement, why)
    if not isinstance(node, ast.Call):
        return
    name, func = file.dotted(node.func), node.func
    num_given = len(node.args) + len(node.keywords)
    is_lost = (name in _PURE and num_given) or name in _PURE_DOTTED
    if isinstance(func, ast.Attribute) and not is_lost:
        plain = all(isinstance(one, (ast.Constant, ast.Name)) for one in node.args)
        if func.attr in _PURE_METHODS:
            is_lost = plain and num_given <= _PURE_METHODS[func.attr]
        elif func.attr in ("encode", "decode"):
            is_lost = num_given <= 2 and all(constant_text(one) for one in node.args)
        elif func.attr == "replace":
            is_lost = num_given == 2 and all(constant_text(one) is not None for one in node.args)
        elif func.attr == "format":
            is_lost = constant_text(func.value) is not None
    if is_lost:
        why = f"`{file.source(node)}` returns a new value and changes nothing; nobody takes it."
        yield Hit("lost-result", statement, why)
    if isinstance(func, ast.Name) and func.id.endswith(("Error", "Exception")):
        why = f"`{file.source(node)}` makes an exception and goes on."
        yield Hit("not-raised", statement, why)


def _branches(file: PythonFile, node: ast.If) -> Iterator[Hit]:
    has_else = node.orelse and not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If))
    trivial = len(node.body) == 1 and isinstance(node.body[0], (ast.Pass, ast.Raise, ast.Return))
    if (
        has_else
        and not trivial
        and [bare(one) for one in node.body] == [bare(one) for one in node.orelse]
    ):
        why = f"Whether `{file.source(node.test)}` holds makes no difference."
        yield Hit("same-branches", node, why)
    if isinstance(parent := file.parents.get(node), ast.If) and parent.orelse == [node]:
        return
    tests, one = [node.test], node
    while len(one.orelse) == 1 and isinstance(one.orelse[0], ast.If):
        one = one.orelse[0]
        for earlier in tests:
            if same(earlier, one.test) and is_pure(earlier):
                why = f"`{file.source(one.test)}` was tested in line {earlier.lineno}."
                yield Hit("repeated-condition", one, why, (earlier,))
                break
        tests.append(one.test)


def _assigned(file: PythonFile, node: ast.Assign) -> Iterator[Hit]:
    if len(node.targets) != 1 or not same(node.targets[0], node.value):
        return
    if isinstance(node.value, (ast.Name, ast.Attribute)) and not file.is_test:
        if isinstance(node.value, ast.Name) and file.function_of(node) is None:
            return
        if isinstance(file.parents.get(node), ast.ClassDef):
            return
        yield Hit("self-assignment", node, f"`{file.source(node)}` changes nothing.")


def _joined(file: PythonFile, node: ast.BoolOp) -> Iterator[Hit]:
    for index, operand in enumerate(node.values):
        for earlier in node.values[:index]:
            if same(earlier, operand) and is_pure(operand):
                why = f"`{file.source(operand)}` stands twice in one condition."
                yield Hit("same-both-sides", node, why)
                return
    parent = file.parents.get(node)
    tested = isinstance(parent, (ast.If, ast.While, ast.Assert)) and parent.test is node
    if tested and isinstance(node.op, ast.Or) and isinstance(node.values[0], ast.Compare):
        for operand in node.values[1:]:
            if isinstance(operand, ast.Constant) and operand.value:
                why = f"`{file.source(operand)}` alone is true, whatever stands before it."
                yield Hit("or-literal", node, why)
                return


def _keys(file: PythonFile, node: ast.Dict) -> Iterator[Hit]:
    seen: dict[object, tuple[ast.expr, ast.expr]] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant):
            continue
        one = (type(key.value).__name__, key.value)
        if one in seen and not same(seen[one][1], value):
            first = seen[one][0]
            why = f"The key {file.source(key)} has another value in line {first.lineno}."
            yield Hit("duplicate-key", key, why, (first,))
        seen[one] = key, value


def _combined(file: PythonFile, call: ast.Call) -> Iterator[Hit]:
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr in _COMBINING and len(call.args) == 1:
        if same(func.value, call.args[0]) and is_pure(func.value) and not file.is_test:
            why = f"`{file.source(call)}` gives `{file.source(func.value)}` to its own method."
            yield Hit("self-argument", call, why)


def _formatted(file: PythonFile, call: ast.Call) -> Iterator[Hit]:
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "format":
        yield from _braces(file, call, constant_text(func.value))
    elif isinstance(func, ast.Attribute) and func.attr in _LOGGED and call.args:
        text, owner = constant_text(call.args[0]), file.dotted(func.value).lower()
        given = call.args[1:]
        if text and "log" in owner and given and not any(isinstance(a, ast.Starred) for a in given):
            yield from _counted(file, call, text, len(given), given[0])
    name = file.dotted(func).split(".")[-1]
    parent = file.parents.get(call)
    if isinstance(parent, ast.Raise) or name in ("print", *_LOGGED):
        for one in call.args:
            yield from _unfilled(file, one, call)


def _braces(file: PythonFile, call: ast.Call, text: str | None) -> Iterator[Hit]:
    if text is None or any(isinstance(one, ast.Starred) for one in call.args):
        return
    from string import Formatter

    try:
        fields = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError:
        return
    roots = [re.split(r"[.\[]", name)[0] for name in fields]
    num_auto = roots.count("")
    needed = max([num_auto, *(int(root) + 1 for root in roots if root.isdigit())])
    if needed > len(call.args):
        why = f"The text has places for {needed} values and gets {len(call.args)}."
        yield Hit("format-arguments", call, why)
    if not any(one.arg is None for one in call.keywords):
        names = {one.arg for one in call.keywords}
        missing = [root for root in roots if root and not root.isdigit() and root not in names]
        if missing:
            yield Hit("format-arguments", call, f"Nothing is given for {{{missing[0]}}}.")


def _percent(file: PythonFile, node: ast.BinOp) -> Iterator[Hit]:
    text = constant_text(node.left)
    if text is None or not isinstance(node.op, ast.Mod) or not isinstance(node.right, ast.Tuple):
        return
    if not any(isinstance(one, ast.Starred) for one in node.right.elts):
        yield from _counted(file, node, text, len(node.right.elts), None)


def _counted(
    file: PythonFile, node: ast.AST, text: str, num_given: int, only: ast.AST | None
) -> Iterator[Hit]:
    needed = 0
    for match in _PERCENT.finditer(text):
        if match[1]:
            return
        needed += (match[0] != "%%") + (match[2] == "*") + (match[3] == "*")
    if needed != num_given and not (
        num_given == 1 and isinstance(only, (ast.Dict, ast.Name)) and not needed
    ):
        why = f"The text has places for {needed} values and gets {num_given}."
        yield Hit("format-arguments", node, why)


def _unfilled(file: PythonFile, node: ast.expr, call: ast.Call) -> Iterator[Hit]:
    text, function = constant_text(node), file.function_of(node)
    if text is None or function is None or keyword(call, "extra"):
        return
    local = {
        one.arg if isinstance(one, ast.arg) else one.id
        for one in ast.walk(function)
        if isinstance(one, ast.arg)
        or (isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    }
    for match in _FIELD.finditer(text):
        if match[1] in local:
            why = f"`{match[0]}` is shown as it stands; `{match[1]}` is a variable of the function."
            yield Hit("missing-f", node, why)
            return


def _copied(file: PythonFile) -> Iterator[Hit]:
    """A pair `a.p = b.p` and `a.q = b.p` in consecutive lines."""
    for node in file.all(ast.Module, *FUNCTIONS, ast.If, ast.For, ast.With, ast.Try):
        body = getattr(node, "body", [])
        for first, second in pairwise(body):
            ends, following = _end(first), _end(second)
            if ends is None or following is None:
                continue
            (left, value), (other, again) = ends, following
            if left == value == again != other and bare(first.value) == bare(second.value):
                why = f"The line above gives `{value}` to `{left}`; this one to `{other}`."
                yield Hit("copied-line", second, why, (first,))


def _end(node: ast.stmt) -> tuple[str, str] | None:
    """The last names of both sides of an assignment of one attribute to another."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Attribute) and isinstance(value, ast.Attribute):
            return target.attr, value.attr
    return None
