"""`longctx bench fidelity` from the command line, on a tiny random model."""

import json
import shutil

import pytest

PROSE = "The rain fell on the old town all night. Nobody heard it! Was it late? Yes, it was. " * 120
HAN = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。" * 120
MODE = "blocks:max_keys=128,sinks=1,window=1,dense_below=0"


@pytest.fixture
def arguments(tiny_model_dir, tmp_path):
    paths = []
    for name, text in (("rain.txt", PROSE), ("han.txt", HAN)):
        paths += ["--text", str(tmp_path / name)]
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [
        "bench", "fidelity", "--model", str(tiny_model_dir("qwen2")), *paths,
        "--lengths", "1300", "--questions", "2", "--compared-rows", "16",
        "--numerics", "float32", "--threads", "1", "--attention", MODE,
    ]  # fmt: skip


def test_it_compares_and_goes_on(run, home, arguments, monkeypatch, tmp_path):
    code, out, err = run(*arguments, "--attention", "dense/blocks", "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["schema"] == "longctx.bench.fidelity/1"
    assert [row["mode"] for row in found["rows"]] == [MODE, "dense/blocks"]
    row = found["rows"][0]
    assert row["tasks"][-1]["task"] == "all" and row["tasks"][-1]["questions"] == 4
    assert row["kl_after"]["median"] > 0 and 0 < row["recall_least"] <= row["recall_median"] < 1
    assert (
        found["rows"][1]["recall_median"] is None and found["rows"][1]["kl_inside"]["mean"] < 1e-6
    )
    records = tmp_path / "work" / "fidelity.jsonl"
    lines = records.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6 and {json.loads(line)["mode"] for line in lines} == {
        "dense", MODE, "dense/blocks"
    }  # fmt: skip

    def never(*args, **kwargs):
        raise AssertionError("measured twice")

    monkeypatch.setattr("longctx.runtime.fidelity_run.run_case", never)
    code, out, _ = run(*arguments)
    assert code == 0
    assert "95 % interval" in out and "KL median" in out and "recall median" in out
    assert out.splitlines()[1].split()[:4] == ["tokens", "mode", "task", "asked"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--lengths", "4000"], 2, "the model reads 2,048 tokens"),
        (["--questions", "40"], 5, "fewer --questions"),
        (["--attention", "sparse"], 5, "'sparse' is not one of"),
    ],
)
def test_what_cannot_be_measured_is_named(run, home, arguments, more, code, said):
    found = run(*arguments, *more)
    assert (found.code, found.out) == (code, "")
    assert said in found.err


def test_it_needs_a_text(run, home, tiny_model_dir):
    found = run("bench", "fidelity", "--model", str(tiny_model_dir("qwen2")))
    assert found.code == 2 and "--text book.txt" in found.err


def test_what_was_tuned_is_another_measurement(run, home, arguments, tiny_model_dir, tmp_path):
    """A record of blocks as they are is not taken for one of blocks with tuned quotas."""
    directory = shutil.copytree(tiny_model_dir("qwen2"), tmp_path / "model")
    arguments[arguments.index("--model") + 1] = str(directory)
    arguments[arguments.index("--attention") + 1] = "blocks:sinks=1,window=1,dense_below=0"
    text = arguments[arguments.index("--text") + 1]
    assert run(*arguments).code == 0
    records = tmp_path / "work" / "fidelity.jsonl"
    assert len(records.read_text(encoding="utf-8").splitlines()) == 4
    tuning = ["tune", str(directory), "--length", "1500", "--text", text, "--fidelity", "0.7"]
    assert run(*tuning, "--attention", MODE, "--numerics", "float32").code == 0
    assert run(*arguments).code == 0
    # dense is not measured again
    assert len(records.read_text(encoding="utf-8").splitlines()) == 6
