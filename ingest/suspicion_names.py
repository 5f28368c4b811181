"""Suspicions about names in Python: defined nowhere, or called in another way than defined."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from longctx.ingest.suspicion_python import FUNCTIONS, Function, Hit, PythonFile

# Built-ins of other versions and systems, and what tools put into every module.
_KNOWN = frozenset(
    "unicode basestring raw_input xrange long unichr reduce file cmp reload execfile WindowsError "
    "buffer __file__ __path__ __class__ __builtins__ _ reveal_type get_ipython display profile "
    "__annotations__ __module__ __qualname__ ExceptionGroup BaseExceptionGroup".split()
) | frozenset(dir(builtins))
_METHOD_WRAPPERS = ("staticmethod", "classmethod")


@dataclass(frozen=True)
class Names:
    """What a repository defines by name: functions at the top of files, and methods."""

    tops: Mapping[tuple[str, str], list[ast.stmt]]
    methods: Mapping[str, list[Function]]
    files: Mapping[ast.AST, PythonFile] = field(default_factory=dict)


def names_of(files: Iterable[PythonFile]) -> Names:
    """The Names of the files."""
    tops: defaultdict[tuple[str, str], list[ast.stmt]] = defaultdict(list)
    methods: defaultdict[str, list[Function]] = defaultdict(list)
    owners: dict[ast.AST, PythonFile] = {}
    for file in files:
        for name, node in _bindings(file.tree.body):
            tops[file.document.name, name].append(node)
            owners[node] = file
        for function in file.functions():
            owners[function] = file
            if isinstance(file.parents.get(function), ast.ClassDef):
                methods[function.name].append(function)
    return Names(tops, methods, owners)


def names(file: PythonFile, known: Names, imports: Mapping[str, Sequence[str]]) -> Iterator[Hit]:
    """The Hits of all rules about names; `imports` gives the files that a file imports."""
    yield from _undefined(file)
    near = [file.document.name, *imports.get(file.document.name, ())]
    for call in file.all(ast.Call):
        yield from _unawaited(file, call, known)
        found = _definition(file, call, known, near)
        if found is not None:
            function, is_bound = found
            yield from _called(file, call, function, is_bound)


def _bindings(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Every name that the statements bind, with the statement."""
    for node in body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((one.asname or one.name.split(".")[0], node) for one in node.names)
        else:
            for one in ast.walk(node):
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                    yield one.id, node
                elif isinstance(one, (*FUNCTIONS, ast.ClassDef)):
                    # Defined on some condition: then there may be another one.
                    yield one.name, node
                elif isinstance(one, (ast.Import, ast.ImportFrom)):
                    yield from ((a.asname or a.name.split(".")[0], node) for a in one.names)


def _undefined(file: PythonFile) -> Iterator[Hit]:
    if any(alias.name == "*" for node in file.all(ast.ImportFrom) for alias in node.names):
        return
    if any(
        file.dotted(call.func) in ("exec", "globals", "locals", "vars")
        for call in file.all(ast.Call)
    ):
        return
    try:
        table = symtable.symtable(file.document.text.lstrip("\ufeff"), file.document.name, "exec")
    except (SyntaxError, ValueError, RecursionError):
        return
    defined = {
        one.get_name() for one in table.get_symbols() if one.is_assigned() or one.is_imported()
    }
    defined |= {one.get_name() for one in table.get_symbols() if one.is_namespace()}
    missing: set[str] = set()
    pending = [table]
    while pending:
        scope = pending.pop()
        pending += scope.get_children()
        for one in scope.get_symbols():
            if one.is_declared_global() and one.is_assigned():
                defined.add(one.get_name())
            # A function called "top" is taken for the module by symtable, so its own are asked too.
            is_own = scope is not table and (one.is_local() or one.is_parameter())
            if one.is_referenced() and not is_own and (one.is_global() or scope is table):
                missing.add(one.get_name())
    missing -= defined | _KNOWN
    for name in file.all(ast.Name) if missing else ():
        if name.id in missing and isinstance(name.ctx, ast.Load) and not _is_tried(file, name):
            missing.discard(name.id)
            why = f"`{name.id}` is bound nowhere in this file and is no built-in: a NameError."
            yield Hit("undefined-name", name, why)


def _is_tried(file: PythonFile, name: ast.Name) -> bool:
    """Whether the file waits for a NameError, or asks for the version first."""
    if any("NameError" in ast.dump(one.type) for one in file.all(ast.ExceptHandler) if one.type):
        return True
    for parent in file.around(name):
        if isinstance(parent, (ast.AnnAssign, ast.arg)):
            return True
        if isinstance(parent, FUNCTIONS) and parent.returns is not None:
            if any(one is name for one in ast.walk(parent.returns)):
                return True
        if isinstance(parent, (ast.If, ast.IfExp)):
            test = ast.dump(parent.test)
            if any(word in test for word in ("PY2", "py2", "version", "TYPE_CHECKING", "PY3")):
                return True
    return False


def _unawaited(file: PythonFile, call: ast.Call, known: Names) -> Iterator[Hit]:
    function = file.function_of(call)
    if not isinstance(file.parents.get(call), ast.Expr) or not isinstance(
        function, ast.AsyncFunctionDef
    ):
        return
    if isinstance(call.func, ast.Name):
        found = known.tops.get((file.document.name, call.func.id), [])
    elif isinstance(call.func, ast.Attribute):
        found = [*known.methods.get(call.func.attr, [])]
    else:
        return
    if found and all(
        isinstance(one, ast.AsyncFunctionDef) and not one.decorator_list for one in found
    ):
        why = f"`{file.source(call.func)}` is an async def: without await nothing of it runs."
        yield Hit("not-awaited", call, why, (found[0],))


def _definition(
    file: PythonFile, call: ast.Call, known: Names, near: Sequence[str]
) -> tuple[Function, bool] | None:
    """The one definition that the call can mean, and whether its first parameter is given."""
    func = call.func
    if isinstance(func, ast.Name):
        own = known.tops.get((file.document.name, func.id), [])
        if len(own) != 1 or _is_local(file, func):
            return None
        node: ast.AST = own[0]
        if isinstance(node, ast.ImportFrom):
            alias = next(one for one in node.names if (one.asname or one.name) == func.id)
            places = [path for path in near[1:] if _may_mean(path, node)]
            found = [one for path in places for one in known.tops.get((path, alias.name), [])]
            if len(found) != 1:
                return None
            node = found[0]
        if isinstance(node, FUNCTIONS):
            return None if node.decorator_list else (node, False)
        return _constructor(node) if isinstance(node, ast.ClassDef) else None
    if (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Name)
        and func.value.id == "self"
    ):
        owner = next((one for one in file.around(call) if isinstance(one, ast.ClassDef)), None)
        inner = file.function_of(call)
        if owner is None or inner is None or file.parents.get(inner) is not owner:
            return None
        if any(file.dotted(one) == "staticmethod" for one in inner.decorator_list):
            return None
        own_methods = [one for name, one in _bindings(owner.body) if name == func.attr]
        if len(own_methods) == 1 and isinstance(own_methods[0], FUNCTIONS):
            method = own_methods[0]
            wrappers = [file.dotted(one) for one in method.decorator_list]
            if all(one in _METHOD_WRAPPERS for one in wrappers):
                return method, "staticmethod" not in wrappers
    return None


def _constructor(node: ast.ClassDef) -> tuple[Function, bool] | None:
    inits = [one for name, one in _bindings(node.body) if name in ("__init__", "__new__")]
    if node.decorator_list or node.keywords or len(inits) != 1:
        return None
    init = inits[0]
    if not isinstance(init, FUNCTIONS) or init.name != "__init__" or init.decorator_list:
        return None
    # A base that is not seen may have a metaclass, or make its instances in another way.
    plain = all(
        isinstance(one, ast.Name) and one.id in ("object", "Exception") for one in node.bases
    )
    return (init, True) if plain else None


def _may_mean(path: str, node: ast.ImportFrom) -> bool:
    last = (node.module or "").split(".")[-1]
    stem = path.removesuffix("/__init__.py").removesuffix(".py").split("/")[-1]
    return not last or stem == last


def _is_local(file: PythonFile, name: ast.Name) -> bool:
    """Whether a function around the name binds it itself."""
    for parent in file.around(name):
        if isinstance(parent, (*FUNCTIONS, ast.Lambda)):
            if any(one.arg == name.id for one in ast.walk(parent.args) if isinstance(one, ast.arg)):
                return True
            if isinstance(parent, FUNCTIONS) and any(
                _binds(one, name.id) for one in file.own(parent)
            ):
                return True
    return False


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Store)
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return node.name == name
    if isinstance(node, ast.alias):
        return (node.asname or node.name.split(".")[0]) == name
    return False


def _called(file: PythonFile, call: ast.Call, function: Function, is_bound: bool) -> Iterator[Hit]:
    given = function.args
    if any(isinstance(one, ast.Starred) for one in call.args):
        return
    plain = [*given.posonlyargs, *given.args][is_bound:]
    if is_bound and not [*given.posonlyargs, *given.args]:
        return
    open_keywords = any(one.arg is None for one in call.keywords)
    name = function.name
    if len(call.args) > len(plain) and given.vararg is None:
        why = f"`{name}` takes {len(plain)} arguments by place and gets {len(call.args)}."
        yield Hit("call-arguments", call, why, (function,))
        return
    by_name = {one.arg for one in call.keywords}
    known = {one.arg for one in [*plain, *given.kwonlyargs]}
    unknown = sorted(one for one in by_name - known if one is not None)
    if unknown and given.kwarg is None:
        why = f"`{name}` has no parameter `{unknown[0]}`."
        yield Hit("call-arguments", call, why, (function,))
        return
    needed = plain[: len(plain) - len(given.defaults)] if given.defaults else plain
    missing = [one.arg for one in needed[len(call.args) :] if one.arg not in by_name]
    missing += [
        one.arg
        for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if value is None and one.arg not in by_name
    ]
    if missing and not open_keywords:
        why = f"`{name}` needs `{missing[0]}`, which is not given."
        yield Hit("call-arguments", call, why, (function,))
        return
    places = {one.arg: index for index, one in enumerate(plain)}
    for index, value in enumerate(call.args):
        # One letter is what is swapped on purpose: f(v, u).
        is_telling = isinstance(value, ast.Name) and len(value.id) > 2
        other = places.get(value.id) if isinstance(value, ast.Name) and is_telling else None
        if other is not None and not file.is_test and index < other < len(call.args):
            back = call.args[other]
            if isinstance(back, ast.Name) and back.id == plain[index].arg:
                why = f"`{name}` takes `{plain[index].arg}` before `{plain[other].arg}`."
                yield Hit("swapped-arguments", call, why, (function,))
                return
