"""Suspicions about the order of things in Python: paths, handlers, loops, resources, locks."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence

from longctx.ingest.suspicion_python import (
    FUNCTIONS,
    Function,
    Hit,
    PythonFile,
    bare,
    constant_text,
    is_name,
    own_nodes,
)

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_OPENERS = frozenset(
    "open io.open codecs.open gzip.open bz2.open lzma.open tarfile.open zipfile.ZipFile "
    "socket.socket socket.create_connection urllib.request.urlopen tempfile.NamedTemporaryFile "
    "tempfile.TemporaryFile".split()
)
_EXITS = ("exit", "_exit", "abort", "fail", "error", "reraise", "assert_never", "skip", "execv")


def flow(file: PythonFile) -> Iterator[Hit]:
    """The Hits of all rules about the order of things."""
    for node in file.all(ast.Module, *FUNCTIONS, ast.If, ast.For, ast.While, ast.With, ast.Try):
        yield from _unreachable(file, node)
    for block in file.all(ast.Try):
        yield from _handlers(file, block)
    for function in file.functions():
        yield from _promised(file, function)
        yield from _resources(file, function)
        yield from _locks(file, function)
    for raised in file.all(ast.Raise):
        name = raised.exc.func if isinstance(raised.exc, ast.Call) else raised.exc
        if isinstance(name, ast.Name) and name.id == "NotImplemented":
            yield Hit("raise-not-implemented", raised, "This raises a TypeError instead.")


def falls_through(body: Sequence[ast.stmt]) -> bool:
    """Whether control may come to the end of the statements."""
    return all(_passes(one) for one in body)


def _passes(node: ast.stmt) -> bool:
    if isinstance(node, _LEAVES):
        return False
    if isinstance(node, ast.If):
        return falls_through(node.body) or falls_through(node.orelse)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return falls_through(node.body)
    if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
        return any(isinstance(one, ast.Break) for one in own_nodes(node.body))
    if isinstance(node, ast.Try):
        if node.finalbody and not falls_through(node.finalbody):
            return False
        ways = [[*node.body, *node.orelse], *(handler.body for handler in node.handlers)]
        return any(falls_through(way) and not _may_raise(way) for way in ways)
    if isinstance(node, ast.Match):
        return not any(
            isinstance(case.pattern, ast.MatchAs)
            and case.pattern.pattern is None
            and not case.guard
            for case in node.cases
        ) or any(falls_through(case.body) for case in node.cases)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        func = node.value.func
        name = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
        return not any(name.startswith(word) or name.endswith(word) for word in _EXITS)
    if isinstance(node, ast.Assert):
        return not (isinstance(node.test, ast.Constant) and not node.test.value)
    return True


def _may_raise(way: list[ast.stmt]) -> bool:
    """Whether the way ends in a call, as a handler does that leaves the raising to a function."""
    return bool(way) and isinstance(way[-1], ast.Expr) and isinstance(way[-1].value, ast.Call)


def _unreachable(file: PythonFile, node: ast.AST) -> Iterator[Hit]:
    for part in ("body", "orelse", "finalbody"):
        body = getattr(node, part, [])
        for index, one in enumerate(body[:-1]):
            if isinstance(one, _LEAVES):
                rest = body[index + 1]
                # A yield that is never reached makes the function a generator.
                idle = isinstance(rest, ast.Expr) and isinstance(
                    rest.value, (ast.Yield, ast.Constant)
                )
                if not idle and not isinstance(rest, (ast.Pass, *_LEAVES)):
                    why = f"`{file.source(one)}` in line {one.lineno} always leaves before."
                    yield Hit("unreachable", rest, why, (one,))
                break


def _handlers(file: PythonFile, block: ast.Try) -> Iterator[Hit]:
    seen: list[tuple[type[BaseException], ast.ExceptHandler]] = []
    for handler in block.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        found = [_exception(file, kind) for kind in kinds if kind is not None]
        for kind in found:
            earlier = next((one for caught, one in seen if kind and issubclass(kind, caught)), None)
            if kind is not None and earlier is not None and len(found) == 1:
                why = f"{kind.__name__} is already caught in line {earlier.lineno}."
                yield Hit("except-order", handler, why, (earlier,))
        seen += [(kind, handler) for kind in found if kind is not None]
        yield from _swallowed(file, block, handler)
    for node in own_nodes(block.finalbody):
        loops = [one for one in file.around(node) if isinstance(one, (ast.For, ast.While))]
        inside = bool(loops) and any(
            loops[0] is one for one in ast.walk(ast.Module(block.finalbody, []))
        )
        if isinstance(node, ast.Return) or (
            isinstance(node, (ast.Break, ast.Continue)) and not inside
        ):
            why = f"`{file.source(node)}` here ends an exception that is on its way."
            yield Hit("exit-in-finally", node, why)
            return


def _exception(file: PythonFile, node: ast.expr) -> type[BaseException] | None:
    kind = getattr(builtins, file.dotted(node), None)
    return kind if isinstance(kind, type) and issubclass(kind, BaseException) else None


def _swallowed(file: PythonFile, block: ast.Try, handler: ast.ExceptHandler) -> Iterator[Hit]:
    name = "" if handler.type is None else file.dotted(handler.type) or "other"
    if name not in ("", "BaseException", "Exception") or file.is_test:
        return
    nodes = list(own_nodes(list(handler.body)))
    idle = all(isinstance(one, (ast.Pass, ast.Continue)) for one in handler.body)
    last = handler.body[-1].end_lineno or handler.lineno
    starts = file.document.line_starts
    after = starts[last] if last < len(starts) else len(file.document.text)
    text = file.document.text[starts[handler.lineno - 1] : after]
    if "#" in text:
        # Whoever gives a reason has thought about it.
        return
    if name == "Exception":
        function = file.function_of(block)
        closing = function is not None and function.name in ("__del__", "close", "__exit__")
        if not idle or closing or _is_closing(block.body):
            return
        why = "Whatever goes wrong in the block above is dropped without a trace."
        yield Hit("dropped-error", handler, why)
        return
    told = any(
        isinstance(one, (ast.Raise, ast.Await, ast.Yield))
        or (isinstance(one, ast.Name) and one.id in (handler.name, "traceback", "sys"))
        or (isinstance(one, ast.Attribute) and one.attr in ("exception", "exc_info", "critical"))
        or (isinstance(one, ast.Call) and _ends(one))
        for one in nodes
    )
    if not told:
        why = "This also catches KeyboardInterrupt and SystemExit, and nothing raises them again."
        yield Hit("swallowed-error", handler, why)


def _ends(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name.startswith(_EXITS) or name.endswith(("exception", "print_exc"))


def _is_closing(body: list[ast.stmt]) -> bool:
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        return isinstance(body[0], (ast.Import, ast.ImportFrom))
    call = body[0].value
    return isinstance(call, ast.Call) and getattr(call.func, "attr", "") in (
        "close", "unlink", "kill", "terminate", "remove", "shutdown", "cancel", "flush"
    )  # fmt: skip


def _promised(file: PythonFile, function: Function) -> Iterator[Hit]:
    """Functions that promise a value in their signature and come to their end without one."""
    promised = function.returns
    if promised is None or file.document.name.endswith(".pyi") or not falls_through(function.body):
        return
    if function.decorator_list and not _plain_decorators(function):
        return
    text = ast.dump(promised)
    open_ended = (
        "None",
        "Optional",
        "Any",
        "NoReturn",
        "Never",
        "Generator",
        "Iter",
        "object",
        "Self",
    )
    if any(word in text for word in open_ended) or constant_text(promised) is not None:
        return
    nodes = file.own(function)
    body = [one for one in function.body if not _is_idle(one)]
    if not body or any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in nodes):
        return
    owner = file.parents.get(function)
    if isinstance(owner, ast.ClassDef) and any("Protocol" in bare(one) for one in owner.bases):
        return
    last = function.body[-1]
    why = f"`{function.name}` promises {file.source(promised)} and may end here with None."
    yield Hit("missing-return", last, why, (function,))


def _plain_decorators(function: Function) -> bool:
    names = ("property", "staticmethod", "classmethod", "lru_cache", "cache", "setter", "cached")
    return all(any(name in ast.dump(one) for name in names) for one in function.decorator_list)


def _is_idle(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _resources(file: PythonFile, function: Function) -> Iterator[Hit]:
    nodes = file.own(function)
    for node in nodes:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        target = node.targets[0]
        if file.dotted(node.value.func) not in _OPENERS or not isinstance(target, ast.Name):
            continue
        uses = [one for one in ast.walk(function) if is_name(one, target.id) and one is not target]
        if uses and not any(_gives_away(file, one, function) for one in uses):
            why = f"Nothing closes `{target.id}`, least of all when an error comes in between."
            yield Hit("not-closed", node, why)


def _gives_away(file: PythonFile, use: ast.AST, function: Function) -> bool:
    """Whether this use closes the thing or hands it to someone who may."""
    parent = file.parents[use]
    if isinstance(parent, ast.Attribute):
        return parent.attr in ("close", "detach", "shutdown", "__exit__", "__enter__", "quit")
    if isinstance(parent, ast.Call) and use in parent.args:
        name = getattr(parent.func, "attr", getattr(parent.func, "id", ""))
        outer = file.parents.get(parent)
        lent = isinstance(outer, ast.Expr) or name in ("len", "load", "reader", "isinstance")
        keeping = ("add", "append", "close", "push", "put", "register", "enter", "start", "del")
        return not lent or any(word in name.lower() for word in keeping) or name[:1].isupper()
    return not isinstance(parent, (ast.For, ast.comprehension, ast.Compare, ast.If, ast.UnaryOp))


def _locks(file: PythonFile, function: Function) -> Iterator[Hit]:
    nodes = file.own(function)
    for node in nodes:
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        func = node.value.func
        if not isinstance(func, ast.Attribute) or func.attr != "acquire":
            continue
        if not any(word in file.dotted(func.value).lower() for word in ("lock", "mutex", "sem")):
            continue
        lock = bare(func.value)
        released = [
            one
            for one in file.all(ast.Call)
            if isinstance(one.func, ast.Attribute)
            and one.func.attr == "release"
            and bare(one.func.value) == lock
        ]
        own = [one for one in released if file.function_of(one) is function]
        text = file.source(func.value)
        if not released:
            yield Hit("lock-not-released", node, f"Nothing in this file releases `{text}`.")
        elif own and not any(_in_finally(file, one) for one in own):
            first = min(one.lineno for one in own)
            between = [
                one
                for one in nodes
                if isinstance(one, (ast.Return, ast.Raise)) and node.lineno < one.lineno < first
            ]
            if between:
                leaves = f"`{file.source(between[0])}` in line {between[0].lineno}"
                why = f"{leaves} leaves before `{text}` is released."
                yield Hit("lock-not-released", node, why, (between[0],))


def _in_finally(file: PythonFile, node: ast.AST) -> bool:
    child = node
    for parent in file.around(node):
        if isinstance(parent, ast.Try) and (child in parent.finalbody or child in parent.handlers):
            return True
        child = parent
    return False
