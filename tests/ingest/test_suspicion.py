"""Each rule finds what it is for, and not the right code beside it."""

import pytest
from hypothesis import given, settings
from hypothesis.strategies import DataObject, data, integers, sampled_from

from longctx.ingest.document import Document
from longctx.ingest.suspicion import Suspicion, suspicions
from longctx.ingest.suspicion_rules import CATEGORIES, RULES, SEVERITIES

# kind, code that has it, the same code put right
CASES = [
    ("shell-command", "import os\nos.system(f'rm {name()}')\n", "import os\nos.system('ls')\n"),
    (
        "shell-command",
        "import subprocess as sp\ndef f(a):\n    sp.run(a, shell=True)\n",
        "import subprocess as sp\ndef f(a):\n    sp.run(['ls', a])\n",
    ),
    ("code-from-text", "eval(input())\n", "eval('1 + 1')\n"),
    ("unsafe-load", "import yaml\nyaml.load(f)\n", "import yaml\nyaml.load(f, yaml.SafeLoader)\n"),
    (
        "no-certificate-check",
        "import requests\nrequests.get(u, verify=False, timeout=3)\n",
        "import requests\nif insecure:\n    requests.get(u, verify=False, timeout=3)\n",
    ),
    ("weak-hash", "import hashlib\nhashlib.md5(password)\n", "import hashlib\nhashlib.md5(page)\n"),
    (
        "guessable-random",
        "import random\ndef new_token():\n    return random.choice(LETTERS)\n",
        "import random\ndef new_colour():\n    return random.choice(LETTERS)\n",
    ),
    (
        "sql-text",
        "def f(db, n):\n    db.execute(f\"SELECT * FROM t WHERE n = '{n}'\")\n",
        "def f(db, n):\n    db.execute(f'SELECT * FROM {n} WHERE n = ?', (1,))\n",
    ),
    (
        "sql-text",
        "def f(db, n):\n    q = 'DELETE FROM t WHERE id=%s' % n\n    db.execute(q)\n",
        "def f(db, n):\n    q = 'DELETE FROM t WHERE id=%s'\n    db.execute(q, (n,))\n",
    ),
    (
        "secret-in-code",
        "API_KEY = 'q8Zt41xxP0aLLm3'.strip()\nAPI_KEY = 'q8Zt41vvP0aLLm3'\n",
        "API_KEY = 'your-key-1234567'\n",
    ),
    (
        "guessable-file",
        "import tempfile\ntempfile.mktemp()\n",
        "import tempfile\ntempfile.mkstemp()\n",
    ),
    (
        "path-from-request",
        "def f():\n    return open(request.args['name'])\n",
        "def f():\n    return open(secure_filename(request.args['name']))\n",
    ),
    ("debug-server", "app.run(debug=True)\n", "app.run(debug=DEBUG)\n"),
    (
        "swallowed-error",
        "try:\n    f()\nexcept:\n    x = 1\n",
        "try:\n    f()\nexcept:\n    x = 1\n    raise\n",
    ),
    (
        "dropped-error",
        "try:\n    f()\nexcept Exception:\n    pass\n",
        "try:\n    f()\nexcept Exception:\n    # the cache may be gone\n    pass\n",
    ),
    (
        "except-order",
        "try:\n    f()\nexcept Exception:\n    g()\nexcept ValueError:\n    h()\n",
        "try:\n    f()\nexcept ValueError:\n    h()\nexcept Exception:\n    g()\n",
    ),
    (
        "exit-in-finally",
        "def f():\n    try:\n        g()\n    finally:\n        return 1\n",
        "def f():\n    try:\n        g()\n    finally:\n        for x in y:\n            break\n",
    ),
    ("not-raised", "ValueError('no')\n", "raise ValueError('no')\n"),
    ("raise-not-implemented", "raise NotImplemented\n", "raise NotImplementedError\n"),
    (
        "not-closed",
        "def f(p):\n    h = open(p)\n    return h.read()\n",
        "def f(p):\n    h = open(p)\n    return h\n",
    ),
    (
        "no-timeout",
        "import requests\nrequests.get(u)\n",
        "import requests\nrequests.get(u, timeout=9)\n",
    ),
    (
        "lock-not-released",
        "def f():\n    lock.acquire()\n    if x():\n        return\n    lock.release()\n",
        "def f():\n    with lock:\n        return g()\n",
    ),
    (
        "not-awaited",
        "async def g():\n    pass\nasync def f():\n    g()\n",
        "async def g():\n    pass\nasync def f():\n    await g()\n",
    ),
    (
        "check-then-act",
        "import os\nif not os.path.exists(p):\n    os.makedirs(p)\n",
        "import os\nos.makedirs(p, exist_ok=True)\n",
    ),
    (
        "mutable-default",
        "def f(x, seen=[]):\n    seen.append(x)\n",
        "def f(x, seen=[]):\n    seen = [*seen, x]\n    seen.append(x)\n",
    ),
    ("literal-identity", "if x is 'a':\n    f()\n", "if x is None:\n    f()\n"),
    ("same-both-sides", "if a.port != a.port:\n    f()\n", "if a.port != b.port:\n    f()\n"),
    ("same-both-sides", "if a.x or a.x:\n    f()\n", "if f() or f():\n    f()\n"),
    ("no-effect", "x == 3\n", "try:\n    x == 3\nexcept TypeError:\n    f()\n"),
    ("lost-result", "name.strip()\n", "name = name.strip()\n"),
    ("lost-result", "name.replace('a', 'b')\n", "path.replace(target)\n"),
    (
        "same-branches",
        "if x:\n    f()\n    g()\nelse:\n    f()\n    g()\n",
        "if x:\n    f()\nelse:\n    g()\n",
    ),
    (
        "repeated-condition",
        "if x == 1:\n    f()\nelif x == 1:\n    g()\n",
        "if x == 1:\n    f()\nelif x == 2:\n    g()\n",
    ),
    (
        "self-assignment",
        "def f(self, x):\n    self.x = self.x\n",
        "def f(self, x):\n    self.x = x\n",
    ),
    (
        "index-past-end",
        "for i in range(len(a) + 1):\n    print(a[i])\n",
        "for i in range(len(a) - 1):\n    print(a[i + 1])\n",
    ),
    (
        "missing-f",
        "def f(name):\n    raise ValueError('no {name}')\n",
        "def f(name):\n    raise ValueError(f'no {name}')\n",
    ),
    ("format-arguments", "x = '{} and {}'.format(a)\n", "x = '{} and {}'.format(a, b)\n"),
    ("format-arguments", "x = '%s%%, %s' % (a,)\n", "x = '%s%%' % (a,)\n"),
    ("format-arguments", "log.info('%s to %s', a)\n", "log.info('%s to %s', a, b)\n"),
    ("duplicate-key", "x = {'a': 1, 'a': 2}\n", "x = {'a': 1, 'b': 2}\n"),
    ("assert-tuple", "assert (x, 'message')\n", "assert x, 'message'\n"),
    ("or-literal", "if x == 'a' or 'b':\n    f()\n", "if x == 'a' or x == 'b':\n    f()\n"),
    (
        "inverted-check",
        "def f(x):\n    if x is None:\n        return x.name\n",
        "def f(x):\n    if x is None:\n        x = g()\n        return x.name\n",
    ),
    ("inverted-check", "ok = x is not None or x.y\n", "ok = x is None or x.y\n"),
    (
        "inverted-check",
        "if k not in d:\n    print(d[k])\n",
        "if k not in d:\n    d[k] = 1\n    print(d[k])\n",
    ),
    (
        "inverted-check",
        "if isinstance(x, str):\n    y = x.decode()\n",
        "if isinstance(x, bytes):\n    y = x.decode()\n",
    ),
    (
        "unchecked-none",
        "def f(x: str | None):\n    return x.strip() + 'a'\n",
        "def f(x: str | None):\n    return x.strip() if x else 'a'\n",
    ),
    ("unreachable", "def f():\n    return 1\n    g()\n", "def f():\n    return\n    yield\n"),
    (
        "missing-return",
        "def f(x) -> int:\n    if x:\n        return 1\n",
        "def f(x) -> int:\n    while True:\n        if x():\n            return 1\n",
    ),
    (
        "changed-while-iterating",
        "for k in d:\n    if k:\n        del d[k]\n",
        "for k in list(d):\n    if k:\n        del d[k]\n",
    ),
    (
        "late-closure",
        "for x in xs:\n    calls.append(lambda: x)\n",
        "for x in xs:\n    calls.append(lambda x=x: x)\n",
    ),
    (
        "shadowed-builtin",
        "def f():\n    list = [1]\n    return list(x)\n",
        "def f():\n    items = [1]\n    return list(x)\n",
    ),
    ("undefined-name", "def f():\n    return warnigns\n", "def f():\n    return __file__\n"),
    ("call-arguments", "def f(a, b):\n    pass\nf(1)\n", "def f(a, b=2):\n    pass\nf(1)\n"),
    (
        "call-arguments",
        "def f(a):\n    pass\nf(b=1, a=2)\n",
        "def f(a, **k):\n    pass\nf(b=1, a=2)\n",
    ),
    (
        "swapped-arguments",
        "def f(width, height):\n    pass\ndef g(width, height):\n    f(height, width)\n",
        "def f(width, height):\n    pass\ndef g(width, height):\n    f(width, height)\n",
    ),
    ("self-argument", "a.items.extend(a.items)\n", "a.items.extend(b.items)\n"),
    (
        "copied-line",
        "def f(a, b):\n    a.width = b.width\n    a.height = b.width\n",
        "def f(a, b):\n    a.width = b.width\n    a.height = b.height\n",
    ),
    (
        "front-of-list",
        "def f():\n    q = [1]\n    while q:\n        q.pop(0)\n",
        "def f():\n    q = [1]\n    while q:\n        q.pop()\n",
    ),
]


def found(text: str, name: str = "a.py") -> list[Suspicion]:
    return list(suspicions([Document(name, text, "code", name)]).found)


@pytest.mark.parametrize(("kind", "wrong", "right"), CASES)
def test_a_rule_finds_the_wrong_and_passes_the_right(kind: str, wrong: str, right: str) -> None:
    assert kind in [one.kind for one in found(wrong)]
    assert kind not in [one.kind for one in found(right)]


SCRIPTS = [
    ("same-both-sides", "a.js", "if (a.x === a.x) { f(); }", "if (a.x === b.x) { f(); }"),
    ("same-branches", "a.js", "if (a) { f(1, 2, 3); } else { f(1, 2, 3); }", "if (a) { f(); }"),
    (
        "dropped-error",
        "A.java",
        "class A { void f() { try { g(); } catch (E e) { } } }",
        "class A { void f() { try { g(); } catch (E ignored) { } } }",
    ),
    ("unreachable", "a.c", "int f(void) {\n  return 1;\n  g();\n}\n", "int f(void) { return 1; }"),
    ("dangerous-function", "a.c", "void f(char *s) { gets(s); }", "void f(char *s) { puts(s); }"),
    ("code-from-text", "a.ts", "eval(text);", "eval('1');"),
    ("self-assignment", "a.js", "a = a;", "this.a = a;"),
    ("no-certificate-check", "a.js", "let o = {rejectUnauthorized: false};", "let o = {};"),
    ("shell-command", "a.php", "<?php system($name);", "<?php system('ls');"),
]


@pytest.mark.parametrize(("kind", "name", "wrong", "right"), SCRIPTS)
def test_other_languages(kind: str, name: str, wrong: str, right: str) -> None:
    assert [one.kind for one in found(wrong, name)] == [kind]
    assert found(right, name) == []


def test_minified_code_is_not_looked_at() -> None:
    assert found("if(a.x===a.x){f()}", "a.min.js") == []


@pytest.mark.parametrize("name", ["vendor/a.py", "x/_vendor/a.py", "node_modules/b/a.py"])
def test_code_that_was_copied_in_is_not_looked_at(name: str) -> None:
    documents = [Document(one, "eval(input())\n", "code", one) for one in (name, "vendor.py")]
    found = suspicions(documents)
    assert [one.span.name for one in found.found] == ["vendor.py"]
    assert found.looked_at == {"vendor.py"}


def test_every_kind_of_rule_is_tested_and_well_formed() -> None:
    assert {case[0] for case in [*CASES, *SCRIPTS]} == set(RULES)
    for rule in RULES.values():
        assert rule.category in CATEGORIES and rule.severity in SEVERITIES
        assert not rule.title.endswith(".") and rule.suggestion.endswith(".")


def test_places_are_counted_in_characters() -> None:
    text = 'grüße = "😀"; grüße == 3\n'
    (one,) = found(text)
    assert text[one.span.start : one.span.end] == "grüße == 3"


def test_a_definition_in_another_file_is_related() -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/one.py": "def area(width, height):\n    return width * height\n",
        "pkg/two.py": "from pkg.one import area\narea(1, 2, 3)\n",
    }
    documents = [Document(name, text, "code", name) for name, text in files.items()]
    (one,) = suspicions(documents).found
    assert (one.kind, str(one.span), str(one.related[0])) == (
        "call-arguments",
        "pkg/two.py:2",
        "pkg/one.py:1",
    )


@pytest.mark.parametrize(
    "text",
    ["def f(:\n", "\0", "a\rb\n", "(" * 5_000, "x = 1\n" * 3, "", "match 1:\n    case _: 1\n"],
)
def test_what_is_no_python_or_odd_gives_nothing(text: str) -> None:
    assert found(text) == []


def test_tests_may_do_what_code_may_not() -> None:
    text = (
        "import requests\ndef test():\n    requests.get('u', verify=False)\n    assert (1, 'x')\n"
    )
    assert [one.kind for one in found(text, "tests/test_a.py")] == ["assert-tuple"]


@settings(max_examples=60)
@given(data())
def test_broken_code_gives_places_in_the_text_and_no_fault(draws: DataObject) -> None:
    wrong = draws.draw(sampled_from(CASES))[1] + draws.draw(sampled_from(CASES))[1]
    start = draws.draw(integers(0, len(wrong)))
    text = wrong[:start] + draws.draw(sampled_from(["", "\n", "é", "(", "x"])) + wrong[start + 1 :]
    for name in ("a.py", "a.js", "a.c"):
        for one in found(text, name):
            assert 0 <= one.span.start < one.span.end <= len(text)
