import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from longctx.cli.settings import let_threads_rest, read_settings


def test_the_store_is_where_the_user_says_or_the_system_does():
    assert read_settings({"LONGCTX_HOME": "/x/y"}).root == Path("/x/y")
    assert read_settings({"LONGCTX_HOME": "~/store"}).root == Path.home() / "store"
    assert read_settings({"LONGCTX_HOME": ""}).root == platformdirs.user_data_path("longctx")


def test_the_model_and_a_dumb_terminal():
    settings = read_settings({"LONGCTX_HOME": "x", "LONGCTX_MODEL": "tiny", "TERM": "dumb"})
    assert (settings.model, settings.color, settings.live) == ("tiny", False, False)
    assert read_settings({"LONGCTX_HOME": "x", "LONGCTX_MODEL": ""}).model is None


def test_only_the_settings_read_the_environment():
    folder = Path(__file__).parents[2]
    readers = {
        path.relative_to(folder).as_posix()
        for wing in ("cli", "ingest", "prompts", "runtime", "kernels")
        for path in (folder / wing).glob("*.py")
        if ".environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"cli/settings.py"}


def test_the_cache_is_beside_the_store_or_where_the_system_has_caches():
    assert read_settings({"LONGCTX_HOME": "/x/y"}).cache == Path("/x/y/prefixes")
    assert read_settings({}).cache == platformdirs.user_cache_path("longctx") / "prefixes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("0", 0), ("20000", 20_000), ("20G", 20 * 10**9), ("1.5 tb", 1_500 * 10**9)],
)
def test_the_most_that_is_kept(text, expected):
    assert read_settings({"LONGCTX_CACHE_BYTES": text}).cache_bytes == expected


@pytest.mark.parametrize("text", ["x", "-1", "10X", "1e9", "G"])
def test_a_limit_that_is_no_number_is_2(run, monkeypatch, text):
    monkeypatch.setenv("LONGCTX_CACHE_BYTES", text)
    code, out, err = run("cache", "ls")
    assert (code, out) == (2, "")
    assert f"LONGCTX_CACHE_BYTES is {text!r}, expected a number of bytes such as 20G\n" in err


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"GOMP_SPINCOUNT": "2000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_idle_threads_sleep_soon_unless_the_user_says_how_they_wait(given, kept):
    let_threads_rest(given)
    assert given == kept


def test_threads_rest_before_torch_is_there():
    code = (
        "import sys, os, longctx.cli.main as m; assert 'torch' not in sys.modules; "
        "m.main(['--version']); assert os.environ['GOMP_SPINCOUNT'] == '2000'"
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    assert subprocess.run([sys.executable, "-P", "-c", code], env=environ).returncode == 0
