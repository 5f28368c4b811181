"""Suspicions about checks in Python: made the wrong way round, not made, or made too early."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from longctx.ingest.suspicion_python import (
    FUNCTIONS,
    SCOPES,
    Function,
    Hit,
    PythonFile,
    bare,
    is_pure,
    keyword,
    own_nodes,
)

_BYTES_ONLY, _TEXT_ONLY = ("decode",), ("encode", "format", "isidentifier", "casefold")
_FETCHES = frozenset(
    f"requests.{verb}" for verb in "get post put patch delete head options request".split()
) | {"urllib.request.urlopen"}
_ACTS = frozenset("os.remove os.unlink os.mkdir os.makedirs os.rmdir".split())
_NAMED_LIKE_BUILTINS = frozenset("list dict set str int len type open input max min sum".split())


def checks(file: PythonFile) -> Iterator[Hit]:
    """The Hits of all rules about checks."""
    for branch in file.all(ast.If):
        yield from _none_branch(file, branch)
        yield from _membership(file, branch)
        yield from _kind(file, branch)
        yield from _test_then_act(file, branch)
    for operation in file.all(ast.BoolOp):
        yield from _guard(file, operation)
    for function in file.functions():
        yield from _unchecked(file, function)
        yield from _taken(file, function)
        yield from _front(file, function)
    for call in file.all(ast.Call):
        name = file.dotted(call.func)
        if name in _FETCHES and keyword(call, "timeout") is None and not file.is_test:
            open_ended = any(one.arg is None for one in call.keywords)
            if not open_ended and not (name.endswith("urlopen") and len(call.args) > 2):
                why = f"`{name}` waits as long as the other side likes."
                yield Hit("no-timeout", call, why)


def _none_test(test: ast.AST) -> tuple[ast.expr, bool] | None:
    """What is tested for None, and whether the test is that it is None."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        right = test.comparators[0]
        if isinstance(right, ast.Constant) and right.value is None and is_pure(test.left):
            if isinstance(test.ops[0], (ast.Is, ast.Eq)):
                return test.left, True
            if isinstance(test.ops[0], (ast.IsNot, ast.NotEq)):
                return test.left, False
    return None


def _uses(node: ast.AST, wanted: str) -> bool:
    """Whether the node takes an attribute or an item of the value, or goes through it."""
    if isinstance(node, ast.Attribute):
        return bare(node.value) == wanted and not node.attr.startswith("__")
    if isinstance(node, ast.Subscript):
        return bare(node.value) == wanted
    return isinstance(node, (ast.For, ast.comprehension)) and bare(node.iter) == wanted


def _stores(node: ast.AST, wanted: str) -> bool:
    if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return bare(node) == wanted or wanted.startswith(bare(node)[:-1])
    return False


def _none_branch(file: PythonFile, branch: ast.If) -> Iterator[Hit]:
    """`if x is None:` and in that branch `x.something`."""
    tested = _none_test(branch.test)
    if tested is None or not isinstance(tested[0], (ast.Name, ast.Attribute)):
        return
    value, is_none = tested
    wanted, body = bare(value), branch.body if is_none else branch.orelse
    passed: ast.Call | None = None
    for node in _in_order(body):
        if _stores(node, wanted) or (
            isinstance(value, ast.Attribute) and isinstance(node, ast.Call)
        ):
            # The value may have been given in between, by a call too if it is an attribute.
            return
        if _uses(node, wanted):
            why = f"`{file.source(value)}` is None here, and `{file.source(node)}` fails."
            yield Hit("inverted-check", node, why, (branch,))
            return
        if isinstance(node, ast.Call) and isinstance(branch.test, ast.Compare) and passed is None:
            name = file.dotted(node.func)
            if name.startswith(("os.", "shutil.")) and any(
                bare(one) == wanted for one in node.args
            ):
                why = f"`{file.source(value)}` is None here, and `{name}` does not take None."
                yield Hit("inverted-check", node, why, (branch,))
                return


def _in_order(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes as they are run: the value of an assignment before its target."""
    for node in own_nodes(body):
        if isinstance(node, (ast.If, ast.While, ast.Try)):
            inner = list(ast.walk(node))
            # What a branch decides is known only inside it.
            yield from (one for one in inner if isinstance(one, (ast.Name, ast.Attribute)) and (
                isinstance(one.ctx, ast.Store)
            ))  # fmt: skip
        yield node


def _membership(file: PythonFile, branch: ast.If) -> Iterator[Hit]:
    test = branch.test
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return
    key, table = bare(test.left), test.comparators[0]
    if not isinstance(table, (ast.Name, ast.Attribute)) or not is_pure(test.left):
        return
    wanted = bare(table)
    for node in file.own(branch):
        if _stores(node, wanted) or (isinstance(node, (ast.Try, ast.While, ast.For))):
            return
        if isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Subscript) and bare(one.value) == wanted for one in node.targets
        ):
            return
        if isinstance(test.ops[0], ast.NotIn):
            item = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Store)
            if item and _holds(node, wanted, key):
                why = f"`{file.source(test)}` holds here, so `{file.source(node)}` fails."
                yield Hit("inverted-check", node, why, (branch,))
                return
            if isinstance(node, ast.stmt) and not is_pure(node) and not _holds(node, wanted, key):
                # The call may put the item in.
                return
        elif isinstance(test.ops[0], ast.In) and isinstance(node, ast.Call):
            func = node.func
            if (
                isinstance(func, ast.Attribute)
                and func.attr == "add"
                and bare(func.value) == wanted
            ):
                if node.args and bare(node.args[0]) == key:
                    why = f"`{file.source(node)}` only adds what is in it already."
                    yield Hit("inverted-check", node, why, (branch,))
                    return


def _holds(node: ast.AST, table: str, key: str) -> bool:
    """Whether `table[key]` stands in the node."""
    return any(
        isinstance(one, ast.Subscript) and bare(one.value) == table and bare(one.slice) == key
        for one in ast.walk(node)
    )


def _kind(file: PythonFile, branch: ast.If) -> Iterator[Hit]:
    """`if isinstance(x, bytes): x.encode()` and the like."""
    test = branch.test
    if (
        not isinstance(test, ast.Call)
        or file.dotted(test.func) != "isinstance"
        or len(test.args) != 2
    ):
        return
    value, kind = test.args
    wrong = {"bytes": _TEXT_ONLY, "str": _BYTES_ONLY}.get(file.dotted(kind), ())
    for node in file.own(branch):
        if _stores(node, bare(value)):
            return
        if (
            isinstance(node, ast.Attribute)
            and node.attr in wrong
            and bare(node.value) == bare(value)
        ):
            if file.in_try(node):
                return
            why = f"`{file.source(value)}` is {file.source(kind)} here and has no `{node.attr}`."
            yield Hit("inverted-check", node, why, (branch,))
            return


def _guard(file: PythonFile, node: ast.BoolOp) -> Iterator[Hit]:
    """`x is None and x.y`, `x or x.y`: the second part is only reached where it cannot work."""
    first, is_or = node.values[0], isinstance(node.op, ast.Or)
    tested = _none_test(first)
    if tested is not None:
        value, absent = tested
        if absent is is_or:
            return
    else:
        negated = isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.Not)
        value = first.operand if negated else first  # type: ignore[attr-defined]
        if negated is is_or or not isinstance(value, (ast.Name, ast.Attribute)):
            return
    wanted = bare(value)
    for operand in node.values[1:]:
        for one in ast.walk(operand):
            searched = (
                isinstance(one, ast.Compare)
                and isinstance(one.ops[0], (ast.In, ast.NotIn))
                and bare(one.comparators[0]) == wanted
            )
            if isinstance(one, ast.Subscript) or searched or tested is not None:
                if searched or _uses(one, wanted):
                    why = (
                        f"`{file.source(operand)}` is looked at only where "
                        f"`{file.source(value)}` is {'None' if tested else 'empty or None'}."
                    )
                    yield Hit("inverted-check", node, why)
                    return


def _unchecked(file: PythonFile, function: Function) -> Iterator[Hit]:
    """A parameter that may be None by its annotation, or a variable that starts as None."""
    nodes: list[ast.AST] = []
    for parameter in [*function.args.args, *function.args.kwonlyargs]:
        kind = parameter.annotation
        if kind is None or not _may_be_none(kind):
            continue
        nodes = nodes or list(ast.walk(function))
        mentions = [one for one in nodes if isinstance(one, ast.Name) and one.id == parameter.arg]
        if any(not isinstance(one.ctx, ast.Load) or _is_tested(file, one) for one in mentions):
            continue
        wanted = bare(ast.Name(parameter.arg, ast.Load()))
        for node in file.own(function):
            if _uses(node, wanted) and not file.in_try(node):
                why = (
                    f"`{parameter.arg}` may be None by its annotation `{file.source(kind)}`, "
                    "and the function never tests it."
                )
                yield Hit("unchecked-none", node, why, (parameter,))
                break


def _may_be_none(kind: ast.expr) -> bool:
    if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr):
        return _may_be_none(kind.left) or _may_be_none(kind.right)
    if isinstance(kind, ast.Constant):
        return kind.value is None
    name = kind.value if isinstance(kind, ast.Subscript) else None
    return name is not None and ast.dump(name).count("'Optional'") == 1


def _is_tested(file: PythonFile, name: ast.Name) -> bool:
    """Whether the name stands in a condition, or is handed to a call that may test it."""
    child: ast.AST = name
    for parent in file.around(name):
        if isinstance(parent, (ast.If, ast.While, ast.IfExp, ast.Assert)) and child is parent.test:
            return True
        if isinstance(parent, (ast.BoolOp, ast.Compare, ast.Match, *SCOPES)):
            return not isinstance(parent, FUNCTIONS) or child not in parent.body
        if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            return True
        if isinstance(parent, ast.comprehension) and child in parent.ifs:
            return True
        if isinstance(parent, ast.stmt):
            return False
        child = parent
    return False


def _taken(file: PythonFile, function: Function) -> Iterator[Hit]:
    """A built-in that is called where its name holds a value."""
    taken: dict[str, ast.Assign] = {}
    for node in file.own(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value, name = node.value, node.targets[0].id
            plain = isinstance(
                value, (ast.List, ast.Dict, ast.Constant, ast.JoinedStr, ast.ListComp)
            )
            if name in _NAMED_LIKE_BUILTINS and plain:
                taken.setdefault(name, node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = taken.get(node.func.id)
            if given is not None and node.lineno > given.lineno:
                why = f"`{node.func.id}` was given another value in line {given.lineno}."
                yield Hit("shadowed-builtin", node, why, (given,))


def _front(file: PythonFile, function: Function) -> Iterator[Hit]:
    lists = {
        node.targets[0].id
        for node in file.own(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, (ast.List, ast.ListComp))
    }
    for node in file.own(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            owner, first = node.func.value, node.args[0]
            if not isinstance(owner, ast.Name) or owner.id not in lists or node.func.attr != "pop":
                continue
            if isinstance(first, ast.Constant) and first.value == 0:
                if any(isinstance(one, ast.While) for one in file.around(node)):
                    why = f"Each `{file.source(node)}` moves every other item of the list."
                    yield Hit("front-of-list", node, why)


def _test_then_act(file: PythonFile, branch: ast.If) -> Iterator[Hit]:
    test = branch.test
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test = test.operand
    if not isinstance(test, ast.Call) or file.is_test or not test.args or file.in_try(branch):
        return
    if file.dotted(test.func) not in ("os.path.exists", "os.path.isfile", "os.path.isdir"):
        return
    for node in branch.body[:1]:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and file.dotted(call.func) in _ACTS and call.args:
            if bare(call.args[0]) == bare(test.args[0]) and keyword(call, "exist_ok") is None:
                why = f"Between `{file.source(test)}` and `{file.source(call)}` another may act."
                yield Hit("check-then-act", call, why, (branch,))
