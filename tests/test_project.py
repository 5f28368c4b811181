"""What ships, who imports whom, how long a file may be, and what the type checker says."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
ALLOWED = {
    "ingest": {"ingest"},
    "kernels": {"kernels"},
    "prompts": {"prompts", "ingest"},
    "runtime": {"runtime", "kernels"},
    "cli": {"cli", "ingest", "kernels", "prompts", "runtime"},
}
HEAVY = {"torch", "transformers", "triton"}
SOURCES = [path for folder in FOLDERS.values() for path in sorted((ROOT / folder).glob("*.py"))]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def test_every_folder_with_code_is_a_package_that_ships():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(FOLDERS.values())
    assert set(FOLDERS) == set(PROJECT["tool"]["setuptools"]["packages"])
    nested = [path for folder in folders for path in (ROOT / folder).glob("*/*.py")]
    assert nested == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_imports_keep_to_the_floors(path):
    folder = path.parent.name
    for module in imported_modules(path):
        first, *rest = module.split(".")
        assert first not in ALLOWED, f"{path}: import longctx.{first}, not {first}"
        if first == "longctx":
            assert rest and rest[0] in ALLOWED[folder], f"{path} imports {module}"
        if folder in ("ingest", "prompts"):
            assert first not in HEAVY, f"{path} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_fit_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 350


def test_only_the_command_line_prints_and_reads_the_environment():
    for path in SOURCES:
        if path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno} prints"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                reads = node.value.id == "os" and node.attr in ("environ", "getenv")
                assert not reads, f"{path}:{node.lineno} reads the environment"


@pytest.mark.parametrize("command", [["--help"], ["pack", "LICENSE"]])
def test_light_commands_load_no_tensors(command, tmp_path):
    script = (
        "import sys; from longctx.cli.main import main\n"
        f"sys.argv = ['longctx', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "found = {'torch', 'transformers', 'triton'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=ROOT,
        env={"LONGCTX_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def test_the_map_in_the_readme_names_every_file():
    readme = (ROOT / "README.md").read_text()
    missing = [
        f"{path.parent.name}/{path.name}"
        for path in SOURCES
        if path.name != "__init__.py" and f"`{path.stem}`" not in readme
    ]
    assert missing == []


def test_types():
    for package, folder in FOLDERS.items():
        link = ROOT.joinpath("build", "types", *package.split("."))
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(ROOT / folder)
    result = subprocess.run(
        [sys.executable, "-P", "-m", "mypy"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout
