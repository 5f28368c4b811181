import json

import pytest

from longctx.runtime.errors import ModelError
from longctx.runtime.store import ModelFiles


def test_the_list_says_what_is_here_and_what_is_the_default(run):
    code, out, err = run("models", "list")
    assert (code, err) == (0, "")
    assert out.startswith("qwen2.5-coder-1.5b")
    found = json.loads(run("models", "list", "--format", "json").out)
    assert [model["name"] for model in found["models"] if model["default"]] == [
        "qwen2.5-coder-1.5b"
    ]
    assert not any(model["installed"] for model in found["models"])


def test_pull_shows_progress_and_where_it_is(run, home, monkeypatch):
    asked = []

    def pull(root, name, *, progress, endpoint=None):
        asked.append((root, name))
        progress("downloading", 10, 20)
        return ModelFiles(name, root / "models" / name, "0")

    monkeypatch.setattr("longctx.runtime.pull.pull", pull)
    code, out, err = run("models", "pull", "smollm2-135m")
    assert (code, out) == (0, "")
    assert err == (
        f"downloading: 10 of 20 bytes\nsmollm2-135m is installed in {home}/models/smollm2-135m\n"
    )
    run("models", "pull")
    assert asked == [(home, "smollm2-135m"), (home, "qwen2.5-coder-1.5b")]


def test_a_failed_pull_is_5(run, monkeypatch):
    def pull(root, name, *, progress, endpoint=None):
        raise ModelError("the disk is full", "make room")

    monkeypatch.setattr("longctx.runtime.pull.pull", pull)
    assert run("models", "pull", "x") == (5, "", "longctx: the disk is full\n  make room\n")


@pytest.mark.parametrize("action", ["show", "verify"])
def test_what_is_not_installed_is_5(run, action):
    code, out, err = run("models", action, "smollm2-135m")
    assert (code, out) == (5, "")
    assert "longctx models pull smollm2-135m" in err


def test_verify_names_what_is_wrong(run, monkeypatch):
    monkeypatch.setattr(
        "longctx.runtime.store.verify", lambda root, name, *, progress: ("x.json: missing",)
    )
    code, out, err = run("models", "verify", "x")
    assert (code, out) == (5, "x.json: missing\n")
    assert "longctx models pull x" in err


def test_a_directory_can_be_shown(run, tmp_path):
    directory = tmp_path / "tiny"
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "qwen2", "hidden_size": 64}')
    (directory / "model.safetensors").write_bytes(b"\x00" * 100)
    code, out, _ = run("models", "show", str(directory))
    assert code == 0
    assert "model_type   qwen2\n" in out
    found = json.loads(run("models", "show", str(directory), "--format", "json").out)
    assert found["config"]["hidden_size"] == 64
