from pathlib import Path

import platformdirs

from longctx.cli.settings import read_settings


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
