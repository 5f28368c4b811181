"""`longctx tune` from the command line, on a tiny random model."""

import json
import shutil

import pytest

MODE = "blocks:max_keys=128,sinks=1,window=1,dense_below=256"
TEXT = "Two households, both alike in dignity, in fair Verona, where we lay our scene. " * 60


@pytest.fixture
def directory(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")


@pytest.fixture
def arguments(directory, tmp_path):
    """The command but for the length."""
    paths = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for path in paths:
        path.write_text(TEXT)
    texts = [word for path in paths for word in ("--text", str(path))]
    return [
        "tune", str(directory), *texts, "--attention", MODE, "--numerics", "float32",
        "--threads", "1",
    ]  # fmt: skip


def test_it_tunes_and_says_so(run, home, arguments, directory):
    code, out, err = run(*arguments, "--length", "1500", "--fidelity", "0.7")
    assert code == 0, err
    path = directory / "tuned-blocks-1500.json"
    assert out.startswith(f"{directory} at 1,500 tokens, ") and f"written to {path}\n" in out
    assert "of 6 before" in out and "earlier keys that a row attends to" in out
    assert "the lowest now: layer " in out and "pass 1 over the text" in err
    facts = json.loads(path.read_text())
    assert (facts["version"], facts["mode"], facts["attention"]) == (1, "blocks", MODE)
    assert [len(layer) for layer in facts["layers"]] == [2, 2, 2]
    code, out, err = run(*arguments, "--length", "1500", "--fidelity", "0.7", "--format", "json")
    assert code == 0 and json.loads(out) == json.loads(path.read_text())
    # the store of what was read holds nothing of it
    assert not list(home.rglob("*.kv"))


def test_heads_that_are_short_still_are_counted(run, arguments):
    code, out, err = run(*arguments, "--length", "1500", "--fidelity", "0.99", "--passes", "1")
    assert code == 0, err
    assert "tokens, read once\n" in out and "more passes give those more: --passes 2\n" in out
    assert "of 6 before, 0 now" not in out


def test_ask_says_that_it_is_used(run, arguments, directory, tmp_path):
    assert run(*arguments, "--length", "1500").code == 0
    (tmp_path / "work" / "note.txt").write_text("The rain fell on the old town all night.")
    words = ["ask", "note.txt", "-q", "When?", "--model", str(directory), "--max-tokens", "4"]
    code, _, err = run(*words, "--attention", "blocks", "--numerics", "float32")
    assert code == 0, err
    assert f"quotas tuned at 1,500 tokens are used: {directory}" in err
    assert "tuned" not in run(*words, "--numerics", "float32").err
    (directory / "tuned-blocks-1500.json").write_text("{")
    code, out, err = run(*words, "--attention", "blocks", "--numerics", "float32")
    assert code == 5 and "tuned-blocks-1500.json cannot be read" in err and "delete it" in err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ([], 2, "Missing option '--length'"),
        (["--length", "0"], 2, "Invalid value for '--length'"),
        (["--length", "2000", "--text", "missing.txt"], 2, "--text 'missing.txt' is no file"),
        (["--length", "200"], 5, "the first 256 of which attend densely"),
        (["--length", "4000"], 5, "the model reads 2,048"),
        (["--length", "1500", "--fidelity", "1.5"], 5, "fidelity is 1.5"),
        (["--length", "1500", "--attention", "dense"], 5, "attention 'dense' cannot be tuned"),
    ],
)
def test_what_cannot_be_tuned_is_named(run, arguments, more, code, said):
    found = run(*arguments, *more)
    assert (found.code, found.out) == (code, "")
    assert said in found.err


def test_a_text_is_needed_and_a_long_one(run, directory, tmp_path):
    found = run("tune", str(directory), "--length", "2000")
    assert found.code == 2 and "name one or more: --text" in found.err
    (tmp_path / "short.txt").write_text("Too short.")
    found = run(
        "tune", str(directory), "--length", "2000", "--text", str(tmp_path / "short.txt"),
        "--attention", MODE, "--numerics", "float32",
    )  # fmt: skip
    assert found.code == 5 and "tokens, expected 2,000 or more" in found.err
    assert "give a longer one" in found.err
