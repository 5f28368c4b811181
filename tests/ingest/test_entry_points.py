import pytest

from longctx.ingest.document import Document
from longctx.ingest.entry_points import entry_points


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", 'def f(): pass\n\nif __name__ == "__main__":\n    f()\n', [("main guard", "", 3)]),
        ("pkg/__main__.py", "run()\n", [("main module", "pkg", 1)]),
        ("m.go", "package main\n\nfunc main() {}\n", [("main function", "", 3)]),
        ("m.rs", "fn helper() {}\nfn main() {}\n", [("main function", "", 2)]),
        ("m.c", "int main(int argc, char **argv)\n{}\n", [("main function", "", 1)]),
        ("M.java", "class M {\n  public static void main(String[] a) {}\n}",
         [("main function", "", 2)]),
        ("M.cs", "class M {\n  static async Task Main(string[] a) {}\n}",
         [("main function", "", 2)]),
        ("pyproject.toml", '[project]\nname = "x"\n[project.scripts]\nrun-x = "x:main"\n',
         [("script", "run-x", 4)]),
        ("setup.cfg", "[options.entry_points]\nconsole_scripts =\n    x = x:main\n    y=y:m\n",
         [("script", "x", 3), ("script", "y", 4)]),
        ("setup.py", "setup(entry_points={'console_scripts': [\n 'x=x.cli:main',\n]})\n",
         [("script", "x", 2)]),
        ("package.json", '{\n "bin": {"x": "./x.js"},\n "scripts": {\n  "test": "jest"\n }\n}\n',
         [("script", "x", 1), ("script", "test", 4)]),
        ("Dockerfile", 'FROM a\nENTRYPOINT ["run"]\nCMD go --fast\n',
         [("image", '["run"]', 2), ("image", "go --fast", 3)]),
        ("web.py", '@app.route("/x")\ndef x(): ...\n\n@router.get("/y")\ndef y(): ...\n',
         [("web route", "/x", 1), ("web route", "/y", 4)]),
        ("urls.py", "urlpatterns = [\n    path('admin/', admin),\n]\n",
         [("web route", "admin/", 2)]),
        ("s.js", "app.get('/users', list)\nmap.get('x')\n", [("web route", "/users", 1)]),
        ("C.java", '@GetMapping("/a")\nint a() {}\n', [("web route", "/a", 1)]),
        ("broken/pyproject.toml", "[project\n", []),
        ("broken/package.json", "{", []),
        ("list/package.json", "[]", []),
        ("notes.txt", "func main() is where it begins\n", []),
    ],
)  # fmt: skip
def test_where_programs_begin(name: str, text: str, expected: list[tuple[str, str, int]]) -> None:
    found = entry_points([Document(name, text, "code", "00")])
    assert [(point.kind, point.name) for point in found] == [item[:2] for item in expected]
    if name != "package.json":
        assert [point.span.first_line for point in found] == [item[2] for item in expected]


def test_a_real_package_begins_where_it_says(corpus_dir) -> None:
    root = corpus_dir("flask-2.3.1")
    documents = [
        Document(path.relative_to(root).as_posix(), path.read_text(), "code", "00")
        for path in (root / "pyproject.toml", *sorted((root / "src").rglob("*.py")))
    ]
    found = {(point.kind, point.name) for point in entry_points(documents)}
    assert {("script", "flask"), ("main module", "flask")} <= found
