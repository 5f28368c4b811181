"""Suspicions about security in Python: commands, code, queries, secrets and certificates."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from longctx.ingest.suspicion_python import Hit, PythonFile, constant_text, keyword

_SHELLS = frozenset("run Popen call check_call check_output getoutput getstatusoutput".split())
_LOADERS = frozenset(
    "pickle.load pickle.loads cPickle.load cPickle.loads dill.load dill.loads marshal.load "
    "marshal.loads shelve.open jsonpickle.decode yaml.unsafe_load yaml.full_load".split()
)
_SAFE_YAML = ("SafeLoader", "CSafeLoader", "BaseLoader", "safe")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|secret|secret_key|api_?key|access_?key|access_?token|auth_?token"
    r"|private_?key|client_secret)$",
    re.IGNORECASE,
)
_SECRET_WORD = re.compile(r"token|secret|passw|nonce|salt|csrf|(?:^|_)otp(?:_|$)", re.IGNORECASE)
_HASHED_WORD = re.compile(r"passw|secret|signature|(?:^|_)token", re.IGNORECASE)
_KNOWN_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}$|gh[pousr]_[A-Za-z0-9]{36}|xox[bp]-\d{10,}-|sk_live_[0-9a-zA-Z]{20}"
    r"|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\n"
)
_PLACEHOLDER = re.compile(r"example|change|dummy|your|test|sample|fake|xxx|\*\*|[<>{}%$\s]", re.I)
_QUERY = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE)\s", re.I)
# Names of tables and columns cannot be parameters; values can.
_VALUE_PLACE = re.compile(
    r"(?:[=<>]|\b(?:LIKE|BETWEEN|LIMIT)\b|\b(?:IN|VALUES)\s*\()\s*['\"%]*\0", re.I
)
_NO_CHECK = re.compile(r"verify|insecure|cert|ssl|unsafe", re.IGNORECASE)
_REQUEST_PARTS = frozenset("args form GET POST values json query_params files data".split())


def security(file: PythonFile) -> Iterator[Hit]:
    """The Hits of all rules about security."""
    for call in file.all(ast.Call):
        name = file.dotted(call.func)
        yield from _shell(file, call, name)
        yield from _code(file, call, name)
        yield from _loads(file, call, name)
        yield from _query(file, call)
        yield from _from_request(file, call, name)
        yield from _secrets(file, call, name)
        if name == "tempfile.mktemp":
            why = "mktemp only returns a name: another process can make the file first."
            yield Hit("guessable-file", call, why)
        if name.endswith(".run") and _is(keyword(call, "debug"), True) and "subprocess" not in name:
            why = "debug=True lets whoever reaches the server run code in its debugger."
            yield Hit("debug-server", call, why)
    yield from _certificates(file)
    if not file.is_test:
        yield from _constants(file)


def _is(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _varies(file: PythonFile, node: ast.AST) -> bool:
    """Whether the value may come from outside: not a constant, nor made of constants and quotes."""
    if isinstance(node, ast.Constant):
        return False
    if isinstance(node, ast.Call) and file.dotted(node.func).split(".")[-1] in ("quote", "join"):
        return any(_varies(file, one) for one in node.args) and "shlex" not in file.dotted(
            node.func
        )
    if isinstance(node, ast.JoinedStr):
        parts = [one.value for one in node.values if isinstance(one, ast.FormattedValue)]
        return any(_varies(file, one) for one in parts)
    if isinstance(node, ast.BinOp):
        return _varies(file, node.left) or _varies(file, node.right)
    if isinstance(node, (ast.List, ast.Tuple)):
        return any(_varies(file, one) for one in node.elts)
    if isinstance(node, ast.Name):
        if node.id.isupper():
            return False
        values = _values(file, node)
        return not values or any(_varies(file, one) for one in values)
    return True


def _values(file: PythonFile, name: ast.Name) -> list[ast.expr]:
    """What is assigned to a local name in its function; empty where that is not all there is."""
    scope: ast.AST = file.function_of(name) or file.tree
    found: list[ast.expr] = []
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and node.id == name.id and isinstance(node.ctx, ast.Store):
            assign = file.parents.get(node)
            if not isinstance(assign, ast.Assign) or len(assign.targets) > 1:
                return []
            if any(
                isinstance(one, ast.Name) and one.id == name.id for one in ast.walk(assign.value)
            ):
                return []
            found.append(assign.value)
    return found


def _shell(file: PythonFile, call: ast.Call, name: str) -> Iterator[Hit]:
    shell = keyword(call, "shell")
    module, _, function = name.rpartition(".")
    by_shell = (
        module == "subprocess"
        and function in _SHELLS
        and (_is(shell, True) or function in ("getoutput", "getstatusoutput"))
    )
    if (by_shell or name in ("os.system", "os.popen")) and call.args:
        command = call.args[0]
        if _varies(file, command):
            why = (
                f"`{file.source(command)}` goes to a shell, which also runs what stands behind "
                "a ; or a $( in it."
            )
            yield Hit("shell-command", call, why)


def _code(file: PythonFile, call: ast.Call, name: str) -> Iterator[Hit]:
    if name in ("eval", "exec") and call.args and not isinstance(call.args[0], ast.Constant):
        code = call.args[0]
        if _varies(file, code):
            why = f"`{file.source(code)}` is run as code with all rights of the program."
            yield Hit("code-from-text", call, why)


def _loads(file: PythonFile, call: ast.Call, name: str) -> Iterator[Hit]:
    if name == "yaml.load":
        given = [*call.args[1:], *(one.value for one in call.keywords)]
        if any(word in ast.dump(one) for one in given for word in _SAFE_YAML):
            return
    elif name not in _LOADERS:
        return
    why = f"`{name}` makes any object that the data asks for, and with it runs code."
    yield Hit("unsafe-load", call, why)


def _query(file: PythonFile, call: ast.Call) -> Iterator[Hit]:
    if not isinstance(call.func, ast.Attribute) or not call.args:
        return
    if call.func.attr not in ("execute", "executemany", "executescript", "raw"):
        return
    query = call.args[0]
    texts = _values(file, query) if isinstance(query, ast.Name) else [query]
    for text in texts:
        if _is_built_query(file, text):
            why = f"`{file.source(text)}` puts values into the query, where they can be SQL."
            yield Hit("sql-text", call, why, (text,) if text is not query else ())
            return


def _is_built_query(file: PythonFile, node: ast.AST) -> bool:
    """Whether the text begins like a query and has something that varies where a value stands."""
    text = _template(file, node)
    return _QUERY.match(text) is not None and _VALUE_PLACE.search(text) is not None


def _template(file: PythonFile, node: ast.AST) -> str:
    """The text with a NUL wherever something that varies is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(file, one) for one in node.values)
    if isinstance(node, ast.FormattedValue):
        return _template(file, node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(file, node.left) + _template(file, node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
        filled = "" if "quote" in ast.dump(node.right) else "".join(map(_nul(file), values))
        text = _template(file, node.left).replace("%%", "")
        return re.sub(r"%(?:\(\w+\))?[sdrf]", "\0" if filled else "?", text)
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format":
        assert isinstance(node.func, ast.Attribute)
        filled = "" if "quote" in ast.dump(node) else "".join(map(_nul(file), _given(node)))
        return re.sub(r"\{\w*\}", "\0" if filled else "?", _template(file, node.func.value))
    return _nul(file)(node)


def _nul(file: PythonFile) -> Callable[[ast.AST], str]:
    def nul(node: ast.AST) -> str:
        """A NUL for what varies and is not quoted."""
        return "\0" if _varies(file, node) and "quote" not in ast.dump(node) else ""

    return nul


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(one.value for one in call.keywords)]


def _from_request(file: PythonFile, call: ast.Call, name: str) -> Iterator[Hit]:
    if name not in ("open", "os.path.join", "send_file", "flask.send_file", "pathlib.Path"):
        return
    for argument in call.args:
        for node in ast.walk(argument):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in _REQUEST_PARTS
                and isinstance(node.value, ast.Name)
                and node.value.id == "request"
                and "secure_filename" not in ast.dump(argument)
            ):
                why = (
                    f"`{file.source(argument)}` comes from the client and may begin with ../ or /."
                )
                yield Hit("path-from-request", call, why)
                return


def _secrets(file: PythonFile, call: ast.Call, name: str) -> Iterator[Hit]:
    if name in ("hashlib.md5", "hashlib.sha1") and keyword(call, "usedforsecurity") is None:
        named = " ".join(
            one.id if isinstance(one, ast.Name) else one.attr
            for given in call.args
            for one in ast.walk(given)
            if isinstance(one, (ast.Name, ast.Attribute))
        )
        if _HASHED_WORD.search(named):
            why = f"`{file.source(call)}` can be reversed or forged in seconds on a graphics card."
            yield Hit("weak-hash", call, why)
    module, _, function = name.rpartition(".")
    if module == "random" and function not in ("SystemRandom", "seed", "Random"):
        for parent in file.around(call):
            target = None
            if isinstance(parent, ast.Assign):
                target = file.source(parent.targets[0])
            elif isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
                target = parent.name
            if target is not None:
                if _SECRET_WORD.search(target) and not file.is_test:
                    why = (
                        f"`{target}` comes from {name}, whose next values follow from some others."
                    )
                    yield Hit("guessable-random", call, why)
                if not isinstance(parent, ast.Assign):
                    return


def _certificates(file: PythonFile) -> Iterator[Hit]:
    if file.is_test:
        return
    for call in file.all(ast.Call):
        name = file.dotted(call.func)
        if name == "ssl._create_unverified_context":
            yield from _unchecked(file, call)
        for given in call.keywords:
            if given.arg in ("verify", "verify_ssl", "ssl_verify") and _is(given.value, False):
                yield from _unchecked(file, call)
    for assign in file.all(ast.Assign):
        target = assign.targets[0]
        if not isinstance(target, ast.Attribute):
            continue
        off = target.attr in ("verify", "verify_ssl", "check_hostname") and _is(assign.value, False)
        if off or (
            target.attr == "verify_mode" and file.dotted(assign.value).endswith("CERT_NONE")
        ):
            yield from _unchecked(file, assign)


def _unchecked(file: PythonFile, node: ast.AST) -> Iterator[Hit]:
    """The Hit, unless it is what a condition or the function's name asks for."""
    for parent in file.around(node):
        asked = ""
        if isinstance(parent, (ast.If, ast.IfExp)):
            asked = ast.dump(parent.test)
        elif isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef)):
            asked = parent.name
        elif isinstance(parent, ast.ClassDef) and "Warning" in parent.name:
            return
        if _NO_CHECK.search(asked):
            return
    why = (
        f"`{file.source(node)}` accepts any certificate, so anyone on the way can read and answer."
    )
    yield Hit("no-certificate-check", node, why)


def _constants(file: PythonFile) -> Iterator[Hit]:
    for node in file.all(ast.Assign):
        value = constant_text(node.value)
        target = file.dotted(node.targets[0]).split(".")[-1]
        if value is None or not (_KNOWN_SECRET.match(value) or _SECRET_NAME.search(target)):
            continue
        mixed = len(value) >= 10 and re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
        if _KNOWN_SECRET.match(value) or (mixed and not _PLACEHOLDER.search(value)):
            why = f"The value of `{target}` can be read by everyone who can read the repository."
            yield Hit("secret-in-code", node.targets[0], why)
