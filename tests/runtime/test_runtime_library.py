"""The Python interface that the README shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def example(model, papers, prefixes):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for written, used in {
        '"~/.local/share/longctx/models/qwen2.5-coder-1.5b"': repr(str(model)),
        '"./papers"': repr(str(papers)),
        '"./prefixes"': repr(str(prefixes)),
        "max_tokens=256": "max_tokens=8",
    }.items():
        assert written in code
        code = code.replace(written, used)
    return code


@pytest.fixture
def papers(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "one.txt").write_text("We measure memory on two machines.\n" * 40)
    (folder / "two.txt").write_text("We measure time.\n")
    return folder


def test_the_example_in_the_readme_runs_and_keeps_what_it_read(
    tiny_model_dir, papers, tmp_path, capsys
):
    code = example(tiny_model_dir("qwen2"), papers, tmp_path / "prefixes")
    exec(compile(code, "README.md", "exec"), {})
    first = capsys.readouterr().out
    assert len(first) > 10
    kept = {path.name for path in (tmp_path / "prefixes").iterdir()}
    assert kept
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == first
    assert {path.name for path in (tmp_path / "prefixes").iterdir()} == kept


def test_nothing_heavy_is_imported_before_it_is_asked_for():
    script = (
        "import sys, longctx.runtime as runtime\n"
        "assert 'torch' not in sys.modules\n"
        "assert all(getattr(runtime, name) for name in runtime.__all__)\n"
        "assert 'torch' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_an_attribute_error():
    import longctx.runtime

    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        longctx.runtime.Model  # noqa: B018
