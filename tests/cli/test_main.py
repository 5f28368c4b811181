import inspect
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

from longctx.cli.main import ACTIONS, COMMANDS

HEAVY = ("torch", "transformers", "tiktoken", "rich.progress", "numpy", "huggingface_hub")


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_help_names_every_command_and_exit_code(run, argv):
    code, out, err = run(*argv)
    text = out + err
    assert code == (0 if argv else 2)
    assert all(f"\n  {name} " in text for name in COMMANDS)
    for number in (0, 1, 2, 3, 4, 5, 70, 130, 141):
        assert f"{number} " in text.split("Exit codes:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_that_begins_with_its_summary(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert COMMANDS[name] in " ".join(out.split())
    if name not in ACTIONS:
        command = getattr(import_module(f"longctx.cli.{name}"), name)
        assert inspect.cleandoc(command.__doc__).split("\n")[0] == COMMANDS[name]


def test_examples_keep_their_lines(run):
    assert "\n      longctx review ./repo --fail-on high\n" in run("review", "-h").out


def test_version(run):
    assert run("--version") == (0, f"longctx {version('longctx-cli')}\n", "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["reveiw"], "Did you mean 'review'?"),
        (["ask", "."], "nothing is asked"),
        (["pack", "--format", "xml", "."], "'xml' is not one of"),
        (["pack", "--nonsense", "."], "No such option: --nonsense"),
        (["pack", "--window", "3", "."], "Invalid value for '--window'"),
        (["compare", "a.txt"], "compare needs two files, got 'a.txt' only"),
        (["pack", ".", "-o", "no/such/file"], "mkdir -p"),
        (["pack", ".", "-o", "."], "is a directory"),
    ],
)
def test_wrong_usage_is_2_and_on_stderr(run, argv, said):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("argv", [["--help"], ["pack", "-h"], ["pack", "a.txt"]])
def test_light_commands_import_nothing_heavy(argv, tmp_path):
    (tmp_path / "a.txt").write_text("Some text.\n")
    program = (
        "import sys; from longctx.cli.main import main; code = main(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *argv, *(["--quiet"] if "a.txt" in argv else [])],
        cwd=tmp_path,
        env={"LONGCTX_HOME": str(tmp_path / "home"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
