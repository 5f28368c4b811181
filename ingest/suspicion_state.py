"""Suspicions about values that outlive a step in Python: shared defaults, loops, closures."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from longctx.ingest.suspicion_python import Function, Hit, PythonFile, bare, is_name

_MUTATING = frozenset(
    "append extend insert add update setdefault pop popitem remove discard clear sort".split()
)
# Appending to a list while it is iterated is how a queue is worked off.
_RESIZING = frozenset("add update pop popitem remove discard clear".split())


def state(file: PythonFile) -> Iterator[Hit]:
    """The Hits of all rules about values that outlive a call or a round of a loop."""
    for function in file.functions():
        yield from _defaults(file, function)
    for loop in file.all(ast.For):
        yield from _changed(file, loop)
        yield from _closures(file, loop)
        yield from _past_end(file, loop)


def _defaults(file: PythonFile, function: Function) -> Iterator[Hit]:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    pairs = [*zip(plain[len(plain) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += [
        (one, value)
        for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if value is not None
    ]
    for parameter, value in pairs:
        made = isinstance(value, ast.Call) and file.dotted(value.func) in ("list", "dict", "set")
        if not (made or isinstance(value, (ast.List, ast.Dict, ast.Set))):
            continue
        for node in file.own(function):
            if _stores(node, parameter.arg):
                break
            if _changes(node, parameter.arg) or _keeps(file, node, parameter.arg):
                done = file.source(node)
                why = (
                    f"`{parameter.arg}={file.source(value)}` is made once; `{done}` in line "
                    f"{node.lineno} changes or keeps it for the calls to come."  # type: ignore[attr-defined]
                )
                yield Hit("mutable-default", value, why, (node,))
                break


def _stores(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)


def _changes(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _MUTATING and is_name(node.func.value, name)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return is_name(node.value, name)
    return isinstance(node, ast.AugAssign) and is_name(node.target, name)


def _keeps(file: PythonFile, node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and is_name(node.value, name)
    )


def _changed(file: PythonFile, loop: ast.For) -> Iterator[Hit]:
    over = loop.iter
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and not over.args:
        if over.func.attr not in ("keys", "values", "items"):
            return
        over = over.func.value
    if not isinstance(over, (ast.Name, ast.Attribute)):
        return
    wanted = bare(over)
    for node in file.own(loop):
        changed = None
        if isinstance(node, ast.Delete) and isinstance(node.targets[0], ast.Subscript):
            changed = node.targets[0].value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changed = node.func.value if node.func.attr in _RESIZING else None
        elif _assigns(node, wanted):
            return
        if changed is not None and bare(changed) == wanted and not _leaves_after(file, node, loop):
            why = f"`{file.source(node)}` changes what the loop in line {loop.lineno} goes through."
            yield Hit("changed-while-iterating", node, why, (loop,))
            return


def _assigns(node: ast.AST, wanted: str) -> bool:
    return isinstance(node, ast.Assign) and any(bare(one) == wanted for one in node.targets)


def _leaves_after(file: PythonFile, node: ast.AST, loop: ast.For) -> bool:
    """Whether the loop is left after the statement that the node is in."""
    child = node
    for parent in file.around(node):
        for part in ("body", "orelse", "finalbody"):
            block = getattr(parent, part, [])
            if isinstance(block, list) and child in block:
                rest = block[block.index(child) + 1 :]
                if any(isinstance(one, (ast.Return, ast.Break, ast.Raise)) for one in rest):
                    return True
        if parent is loop:
            return False
        child = parent
    return False


def _closures(file: PythonFile, loop: ast.For) -> Iterator[Hit]:
    names = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
    for node in file.own(loop):
        if not isinstance(node, ast.Lambda):
            continue
        own = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
        used = [
            one.id
            for one in ast.walk(node.body)
            if isinstance(one, ast.Name) and one.id in names - own
        ]
        parent = file.parents[node]
        kept = isinstance(parent, ast.Call) and getattr(parent.func, "attr", "") == "append"
        kept = kept or (
            isinstance(parent, ast.Assign) and not isinstance(parent.targets[0], ast.Name)
        )
        if used and kept:
            why = f"The lambda looks `{used[0]}` up when it is called, after the loop has gone on."
            yield Hit("late-closure", node, why, (loop,))


def _past_end(file: PythonFile, loop: ast.For) -> Iterator[Hit]:
    """`for i in range(len(x) + 1)` with x[i], or `range(len(x))` with an unguarded x[i + 1]."""
    call = loop.iter
    if not isinstance(call, ast.Call) or file.dotted(call.func) != "range" or len(call.args) > 2:
        return
    if not isinstance(loop.target, ast.Name):
        return
    stop, more = call.args[-1], 0
    index: ast.expr
    if isinstance(stop, ast.BinOp) and isinstance(stop.op, (ast.Add, ast.Sub)):
        if not isinstance(stop.right, ast.Constant) or not isinstance(stop.right.value, int):
            return
        more = stop.right.value if isinstance(stop.op, ast.Add) else -stop.right.value
        stop = stop.left
    if not isinstance(stop, ast.Call) or file.dotted(stop.func) != "len" or not stop.args:
        return
    nodes = file.own(loop)
    if any(isinstance(one, (ast.If, ast.Try, ast.IfExp, ast.BoolOp, ast.Break)) for one in nodes):
        return
    for node in nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        index, add = node.slice, 0
        if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add):
            step = index.right
            if isinstance(step, ast.Constant) and isinstance(step.value, int):
                index, add = index.left, step.value
        if is_name(index, loop.target.id) and bare(node.value) == bare(stop.args[0]):
            if more + add > 0:
                why = f"In the last round `{file.source(node)}` is {more + add} past the end."
                yield Hit("index-past-end", node, why, (loop,))
                return
