import ast
from itertools import pairwise

import pytest

from longctx.ingest.code_structure import MAX_COMMENTS, MAX_DEPTH, code_file, definitions
from longctx.ingest.document import Document

SMALL = {
    "a.py": ("@wrap\nclass C:\n    async def m(self): pass\n", ["class C", "def C.m"]),
    "a.js": (
        "// About f.\nexport const f = () => g();\nclass K { m() {} }\n"
        "X.prototype.y = function(){};",
        ["function f", "class K", "method K.m", "function X.prototype.y"],
    ),
    "a.ts": (
        "export abstract class A<T> { go(): T {} }\ninterface I { x: number }\ntype T = 1;",
        ["class A", "method A.go", "interface I", "type T"],
    ),
    "a.tsx": ("export function App() { return <Box a={1}/>; }\nenum E { X }", None),
    "a.java": (
        "class A { @Override public int m() { return f(); } A() {} }\nrecord R(int x) {}",
        ["class A", "method A.m", "constructor A.A", "record R"],
    ),
    "a.c": (
        "static char **f(int x) { return g(x); }\ntypedef struct { int x; } S;\nenum E { Q };",
        ["function f", "struct S", "enum E"],
    ),
    "a.hpp": (
        "namespace n { template <class T> class C { T& get() { return t; } }; }\n"
        "int n::D::run() const { return 1; }",
        ["namespace n", "class n::C", "function n::C::get", "function n::D::run"],
    ),
    "a.cs": (
        "namespace N { public class C { [Fact] public int M() => 1; int P { get; set; } } }",
        ["namespace N", "class N.C", "method N.C.M", "property N.C.P"],
    ),
    "a.go": (
        "package a\n\ntype S struct{}\n\nfunc (s *S) Run() {}\nfunc main() { (&S{}).Run() }",
        ["type S", "func S.Run", "func main"],
    ),
    "a.rs": (
        "#[derive(Debug)]\nstruct S;\nimpl<'a> Tr for S { fn f(&self) { g!(); } }\n"
        "mod m { fn h() {} }",
        ["struct S", "impl S", "fn S::f", "mod m", "fn m::h"],
    ),
    "a.php": (
        "<?php\nfinal class C { public function m() { return new D(); } }\nfunction f() {}",
        ["class C", "method C::m", "function f"],
    ),
}


def code(text: str, name: str) -> Document:
    return Document(name, text, "code", "00")


@pytest.mark.parametrize("name", SMALL)
def test_definitions_are_named_with_what_they_are_part_of(name: str) -> None:
    text, expected = SMALL[name]
    found = [f"{item.word} {item.name}" for item in definitions(code(text, name))]
    assert found == (expected or ["function App", "enum E"])


@pytest.mark.parametrize("name", SMALL)
def test_characters_beyond_ascii_move_no_offset(name: str) -> None:
    text, _ = SMALL[name]
    comment = "# größe 変数 🎉\n" if name.endswith(".py") else "/* größe 変数 🎉 */\n"
    lead = comment if not name.endswith(".php") else ""
    text = text.replace("<?php\n", f"<?php\n{comment}")
    plain, moved = definitions(code(SMALL[name][0], name)), definitions(code(lead + text, name))
    for before, after in zip(plain, moved, strict=True):
        assert before.name == after.name
        assert (lead + text)[: after.end].endswith(SMALL[name][0][before.end - 5 : before.end])


def test_decorators_comments_and_modifiers_belong_to_a_definition() -> None:
    text = "x = 1  # trailing\n# About f.\n@wrap(1)\ndef f():\n    pass\n"
    (found,) = definitions(code(text, "a.py"))
    assert text[found.start : found.end] == text[text.index("# About") :].rstrip("\n")


def test_broken_code_keeps_the_structure_that_can_be_told() -> None:
    text = "def whole():\n    return 1\n\n\nclass Half(:\n    def m(self):\n        pass\n"
    text += "\ndef after(): pass\n"
    names = {item.own_name for item in definitions(code(text, "a.py"))}
    assert {"whole", "m", "after"} <= names


@pytest.mark.parametrize(
    "text",
    ["(" * 50_000, "{[" * 3_000, "It is a truth universally acknowledged.\n" * 5_000, "\0\n"],
)
def test_what_is_no_code_has_no_structure_and_takes_no_time(text: str) -> None:
    assert definitions(code(text, "a.js")) == ()


@pytest.mark.parametrize("corpus", ["requests-2.31.0", "click-8.1.7", "flask-2.3.1"])
def test_python_has_the_definitions_and_calls_that_its_own_parser_finds(corpus_dir, corpus) -> None:
    num_files = 0
    for path in sorted(corpus_dir(corpus).glob("src/**/*.py")) or sorted(
        corpus_dir(corpus).glob("*/*.py")
    ):
        text = path.read_text()
        nodes = list(ast.walk(ast.parse(text)))
        file = code_file(code(text, path.name))
        assert file is not None
        named = (ast.Name, ast.Attribute)
        calls = [node.func for node in nodes if isinstance(node, ast.Call)]
        marks = [mark for node in nodes for mark in getattr(node, "decorator_list", ())]
        defined = [
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        assert sorted(item.own_name for item in file.definitions) == sorted(defined)
        assert len(file.calls) == sum(isinstance(call, named) for call in [*calls, *marks])
        num_files += 1
    assert num_files >= 10


def test_only_so_much_of_what_is_nested_without_brackets_is_looked_at() -> None:
    chain = "a" + ".b()" * (MAX_DEPTH * 3)
    calls = code_file(code(chain, "a.js")).calls
    assert 0 < len(calls) <= MAX_DEPTH
    flat = code_file(code("b();\n" * (MAX_DEPTH * 3), "a.js")).calls
    assert len(flat) == MAX_DEPTH * 3


def test_a_comment_of_thousands_of_parts_is_searched_only_so_far() -> None:
    (found,) = definitions(code("# c\n" * (MAX_COMMENTS * 3) + "def f(): pass\n", "a.py"))
    assert found.start == len("# c\n") * MAX_COMMENTS * 2


REAL = [
    ("express-5.1.0", "lib/application.js", {"app.render", "tryRender", "logerror"}),
    ("rxjs-7.8.2", "src/internal/Observable.ts", {"Observable", "Observable.subscribe"}),
    ("react-native-fs-2.20.0", "android/src/main/java/com/rnfs/Downloader.java",
     {"Downloader", "Downloader.doInBackground"}),
    ("react-native-fs-2.20.0", "windows/RNFS/RNFSManager.cs",
     {"RNFS", "RNFS.RNFSManager", "RNFS.RNFSManager.writeFile"}),
    ("bufferutil-4.0.8", "src/bufferutil.c", {"Mask", "Unmask", "Init"}),
    ("nlohmann-json", "json.hpp", {"basic_json", "back"}),
    ("rust-regex", "regex-1.7.1/src/pool.rs", {"Pool", "Pool::new", "PoolGuard::drop"}),
    ("cobra", "command.go", {"Command", "Command.Execute", "Command.Flags"}),
    ("twig", "Environment.php", {"Environment", "Environment::render", "Environment::getLoader"}),
]  # fmt: skip


@pytest.mark.parametrize(("corpus", "path", "expected"), REAL)
def test_real_files_have_the_structure_that_their_readers_know(
    corpus_dir, corpus, path, expected
) -> None:
    text = (corpus_dir(corpus) / path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    found = definitions(code(text, path))
    assert expected <= {item.name for item in found}
    for one, other in pairwise(found):
        assert one.start <= other.start
        assert one.end <= other.start or other.end <= one.end
    for item in found:
        assert item.own_name in text[item.start : item.end]
