import re

import pytest

from longctx.ingest.call_graph import call_graph
from longctx.ingest.code_structure import CodeFile, code_file
from longctx.ingest.document import Document
from longctx.ingest.import_graph import import_graph


def files(sources: dict[str, str]) -> list[CodeFile]:
    found = (code_file(Document(name, text, "code", "00")) for name, text in sources.items())
    return [file for file in found if file is not None]


def edges(sources: dict[str, str]) -> set[tuple[str, str]]:
    return {(edge.importer, edge.imported) for edge in import_graph(files(sources))}


def test_python_packages_relative_imports_and_the_standard_library() -> None:
    sources = {
        "src/pkg/__init__.py": "from .a import f\n",
        "src/pkg/a.py": "import json, pkg.b as b\nfrom . import b\nfrom .sub import (c, # c\n d)\n",
        "src/pkg/b.py": "from pkg.sub.d import x\nfrom .. import nothing\nimport typing\n",
        "src/pkg/json.py": "",
        "src/pkg/sub/__init__.py": "",
        "src/pkg/sub/c.py": "from ..a import *\nimport requests\n",
        "src/pkg/sub/d.py": "",
        "tests/test_a.py": "import pkg\nfrom helper import h\n",
        "tests/helper.py": "",
    }
    assert edges(sources) == {
        ("src/pkg/__init__.py", "src/pkg/a.py"),
        ("src/pkg/a.py", "src/pkg/b.py"),
        ("src/pkg/a.py", "src/pkg/sub/c.py"),
        ("src/pkg/a.py", "src/pkg/sub/d.py"),
        ("src/pkg/b.py", "src/pkg/sub/d.py"),
        ("src/pkg/sub/c.py", "src/pkg/a.py"),
        ("tests/test_a.py", "src/pkg/__init__.py"),
        ("tests/test_a.py", "tests/helper.py"),
    }


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a/x.js": "import b from './b'; const c = require('../c/'); import r from 'react';",
          "a/b.js": "export * from './d.js'", "c/index.js": "", "a/d.ts": "import('./b')"},
         {("a/x.js", "a/b.js"), ("a/x.js", "c/index.js"), ("a/b.js", "a/d.ts"),
          ("a/d.ts", "a/b.js")}),
        ({"a/x.tsx": "import type { T } from './t';", "a/t.d.ts": "", "t.ts": ""},
         {("a/x.tsx", "a/t.d.ts")}),
        ({"src/p/A.java": "import p.q.B; import static p.q.C.f; import java.util.List;",
          "src/p/q/B.java": "import p.*;", "src/p/q/C.java": ""},
         {("src/p/A.java", "src/p/q/B.java"), ("src/p/A.java", "src/p/q/C.java"),
          ("src/p/q/B.java", "src/p/A.java")}),
        ({"lib/a.c": '#include "a.h"\n#include <x/b.h>\n#include <string.h>\n', "lib/a.h": "",
          "include/x/b.h": '#include "../y.h"', "include/y.h": "", "compat/string.h": ""},
         {("lib/a.c", "lib/a.h"), ("lib/a.c", "include/x/b.h"), ("include/x/b.h", "include/y.h")}),
        ({"A.cs": "using N.M;\nusing System;\nnamespace N { class A {} }",
          "M/B.cs": "namespace N.M { class B {} }"}, {("A.cs", "M/B.cs")}),
        ({"cmd/main.go": 'package main\nimport (\n "fmt"\n u "x.org/r/util"\n)\n',
          "util/a.go": "package util", "util/a_test.go": "package util", "util/b.go": ""},
         {("cmd/main.go", "util/a.go"), ("cmd/main.go", "util/b.go")}),
        ({"src/main.rs": "mod a;\nuse crate::a::b::{C, d::{self, E}};\nuse std::fmt;",
          "src/a/mod.rs": "pub mod b;", "src/a/b.rs": "use super::super::z;\nmod d;",
          "src/a/b/d.rs": "use crate::a::*;"},
         {("src/main.rs", "src/a/mod.rs"), ("src/main.rs", "src/a/b.rs"),
          ("src/main.rs", "src/a/b/d.rs"), ("src/a/mod.rs", "src/a/b.rs"),
          ("src/a/b.rs", "src/a/b/d.rs"), ("src/a/b/d.rs", "src/a/mod.rs")}),
        ({"src/A.php": "<?php\nuse App\\Sub\\B;\nrequire __DIR__ . '/c.php';\n",
          "src/App/Sub/B.php": "<?php\n", "src/c.php": "<?php\n"},
         {("src/A.php", "src/App/Sub/B.php"), ("src/A.php", "src/c.php")}),
    ],
    ids=["javascript", "typescript", "java", "c", "c#", "go", "rust", "php"],
)  # fmt: skip
def test_imports_lead_to_the_files_they_name(
    sources: dict[str, str], expected: set[tuple[str, str]]
) -> None:
    assert edges(sources) == expected


def test_the_imports_of_a_real_package_are_all_found(corpus_dir) -> None:
    """Held against what Python itself loads: every module of `requests` that each module names."""
    root = corpus_dir("requests-2.31.0")
    folder = next(path for path in (root / "src/requests", root / "requests") if path.is_dir())
    sources = {f"requests/{path.name}": path.read_text() for path in folder.glob("*.py")}
    found = edges(sources)
    assert {
        ("requests/__init__.py", "requests/api.py"),
        ("requests/api.py", "requests/sessions.py"),
        ("requests/sessions.py", "requests/adapters.py"),
        ("requests/models.py", "requests/structures.py"),
        ("requests/utils.py", "requests/compat.py"),
    } <= found
    assert not any(imported == "requests/structures.py" for one, imported in found if "api" in one)


def test_the_imports_of_a_real_crate_are_those_that_its_lines_name(corpus_dir) -> None:
    """Held against the lines of `regex` that begin with `use crate::` or `mod`."""
    root = corpus_dir("rust-regex") / "regex-1.7.1"
    paths = sorted(root.glob("src/**/*.rs"))
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in paths}
    modules = {path.removeprefix("src/").split("/")[0].removesuffix(".rs") for path in sources}
    found = edges(sources)
    for path, text in sources.items():
        named = set(re.findall(r"(?m)^use crate::(\w+)", text)) & modules
        if path == "src/lib.rs":
            named = set(re.findall(r"(?m)^(?:pub )?mod (\w+);", text)) & modules
        led = {
            to.removeprefix("src/").split("/")[0].removesuffix(".rs")
            for at, to in found
            if at == path
        }
        assert named <= led, path
        # `use super::*` in a module inside a file leads to nothing but the file itself.
        assert all(module in text for module in led), path
    assert ("src/literal/mod.rs", "src/literal/imp.rs") in found


def test_every_import_and_call_stands_where_its_span_says(corpus_dir) -> None:
    root = corpus_dir("express-5.1.0")
    sources = {
        path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*.js"))
    }
    parsed = files(sources)
    imports = import_graph(parsed)
    assert ("lib/express.js", "lib/application.js") in {(e.importer, e.imported) for e in imports}
    for edge in imports:
        written = sources[edge.importer][edge.span.start : edge.span.end].strip("'\"./")
        assert written.split("/")[-1] in edge.imported
    calls = call_graph(parsed, imports)
    assert ("app.init", "app.defaultConfiguration") in {
        (call.caller, call.callee) for call in calls
    }
    for call in calls:
        written = sources[call.span.name][call.span.start : call.span.end]
        assert call.callee.endswith(written)


def test_calls_go_to_the_nearest_definition_of_the_name() -> None:
    sources = {
        "p/__init__.py": "from .a import f\n",
        "p/a.py": "def f(): pass\nclass C:\n    def m(self): return f()\n",
        "p/b.py": "def f(): pass\n\nf()\n",
        "main.py": "import p\n\ndef run(c):\n    p.f()\n    c.m()\n    unknown()\n",
    }
    parsed = files(sources)
    found = {
        (call.caller, call.span.name, call.callee, call.callee_span.name, call.is_certain)
        for call in call_graph(parsed, import_graph(parsed))
    }
    assert found == {
        ("C.m", "p/a.py", "f", "p/a.py", True),
        ("", "p/b.py", "f", "p/b.py", True),
        ("run", "main.py", "f", "p/a.py", True),
        ("run", "main.py", "C.m", "p/a.py", True),
    }
