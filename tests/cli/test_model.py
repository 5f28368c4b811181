"""The wiring of a real tokenizer and a real engine, with a tiny random model."""

import json

import pytest

from longctx.cli.model import Model
from longctx.cli.options import Device, ModelOptions, Numerics
from longctx.runtime.errors import ModelError


@pytest.fixture
def tiny(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("longctx.prompts.ask.EVIDENCE_TOKENS", 8)
    (tmp_path / "work" / "a.txt").write_text("The fox came down at dusk.\n")
    directory = str(tiny_model_dir("qwen2"))
    import torch

    num_threads = torch.get_num_threads()
    yield directory
    torch.set_num_threads(num_threads)


def test_a_tiny_model_answers_through_the_whole_path(run, tiny):
    argv = (
        "ask",
        "a.txt",
        "-q",
        "Who came?",
        "--model",
        tiny,
        "--max-tokens",
        "8",
        "--threads",
        "1",
    )
    code, out, err = run(*argv, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["usage"]["tokens_read"] > found["documents"][0]["num_tokens"]
    assert found["usage"]["answers_cut"] >= 1, "random weights never stop"
    assert found["text"] == json.loads(run(*argv, "--format", "json").out)["text"]


def test_the_second_question_reads_the_documents_no_more(run, tiny, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("The fox came down at dusk.\n" * 30)
    argv = (
        "ask",
        "a.txt",
        "-q",
        "Who came?",
        "--model",
        tiny,
        "--max-tokens",
        "4",
        "--threads",
        "1",
    )
    code, out, err = run(*argv, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert found["usage"]["questions"] == 2
    assert found["usage"]["tokens_read"] < 2 * found["documents"][0]["num_tokens"]


def test_choices_proofreading_and_the_plan_work_with_real_weights(run, tiny, tmp_path, monkeypatch):
    (tmp_path / "work" / "b.py").write_text("def f(a):\n    return a / 0\n")
    argv = ["review", "b.py", "--model", tiny, "--max-tokens", "8", "--threads", "1"]
    code, out, err = run(*argv, "--deep")
    assert code == 0, err
    assert "files proofread 1" in out
    assert "stretches asked" not in out
    # the text is read once
    for more, is_read in (((), False), (("--no-cache",), True), ((), False)):
        found = json.loads(run(*argv, "--deep", "--format", "json", "--no-explain", *more).out)
        assert (found["usage"]["tokens_read"] > 0) is is_read
    out = run("cache", "ls").out
    assert "of what was proofread" in out
    assert run("cache", "rm", "--all").code == 0
    assert "of what was proofread" not in run("cache", "ls").out
    monkeypatch.setattr("longctx.cli.model.LARGE_BYTES", 0)
    code, out, err = run(*argv)
    assert code == 0, err
    assert "stretches asked 1" in out
    code, out, err = run("plan", "b.py", "--model", tiny)
    assert code == 0, err
    assert " at the peak (weights " in out
    assert "window    2,048 tokens\n" in out


def test_a_window_that_does_not_fit_this_machine_is_5(run, tiny, monkeypatch):
    monkeypatch.setattr("longctx.runtime.memory.available_bytes", lambda: 1_000)
    code, out, err = run("ask", "a.txt", "-q", "Who?", "--model", tiny)
    assert (code, out) == (5, "")
    assert "at its peak" in err
    assert "--window" in err


@pytest.mark.parametrize(
    ("options", "window"),
    [
        (["--window", "4000"], "2,048"),
        (["--window", "4000", "--extend", "dca"], "4,000"),
        (["--extend", "yarn"], "8,192"),
        (["--extend", "dca"], "65,536"),
    ],
)
def test_an_extension_widens_the_window(run, tiny, options, window):
    code, out, err = run("plan", "a.txt", "--model", tiny, *options)
    assert code == 0, err
    assert f"window    {window} tokens\n" in out


def test_a_sparse_run_past_the_native_window_says_what_it_kept(run, tiny, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("The fox came down at dusk.\n" * 1_200)
    argv = ("ask", "a.txt", "-q", "Who came?", "--model", tiny, "--max-tokens", "2")
    modes = ("--extend", "dca", "--attention", "blocks", "--threads", "1", "--format", "json")
    code, out, err = run(*argv, *modes)
    assert code == 0, err
    found = json.loads(out)["usage"]
    assert found["tokens_read"] > 9_000
    assert 0 < found["recall"]["least"] <= found["recall"]["median"] <= 1.001
    assert found["recall"]["checked"] > 0 and "of full attention kept" in err


def test_keys_and_values_in_8_bits_are_planned_for_and_answer(run, tiny_model_dir, tiny, tmp_path):
    from longctx.kernels.flash import has_flash

    if not has_flash():
        pytest.skip("this processor has no form of `flash`")
    (tmp_path / "work" / "a.txt").write_text("The fox came down at dusk.\n" * 30)
    # heads of 64 numbers
    model = ("--model", str(tiny_model_dir("qwen2", hidden_size=256)))
    plan = ("plan", "a.txt", *model, "--numerics", "bfloat16", "--format", "json")
    whole, coded = (json.loads(run(*plan, *more).out)["cache_bytes"] for more in ((), ("--kv8",)))
    assert 0.5 < coded / whole < 0.55
    argv = ("ask", "a.txt", "-q", "Who came?", *model, "--max-tokens", "4", "--threads", "1")
    code, out, err = run(*argv, "--numerics", "bfloat16", "--kv8", "--format", "json")
    assert code == 0, err
    # another speed than that of 16 bits
    assert " kv8 1 threads" in (tmp_path / "home" / "speed.json").read_text()
    code, out, err = run("ask", "a.txt", "-q", "Who came?", "--model", tiny, "--kv8")
    assert (code, out) == (5, "")
    assert "--kv8 is for activations in bfloat16" in err and "leave out --kv8" in err


@pytest.mark.parametrize("numerics", ["auto", "fp8"])
def test_the_memory_of_the_machine_is_not_planned_for_a_gpu(tiny_model_dir, numerics):
    def opened(device):
        options = ModelOptions(numerics=Numerics(numerics), device=device)
        return Model("tiny", tiny_model_dir("qwen2"), 512, options)

    assert opened(Device.cuda).plan(64) is None
    if numerics == "fp8":
        with pytest.raises(ModelError, match="'fp8' is for a GPU"):
            opened(Device.cpu).plan(64)
    else:
        assert opened(Device.cpu).plan(64).peak_bytes > 0
