"""`longctx bench` on a tiny random model, each run in a process of its own."""

import json

import pytest

TEXT = "Two households, both alike in dignity, in fair Verona, where we lay our scene. " * 20


@pytest.fixture
def tiny(tiny_model_dir, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    return ["--model", str(tiny_model_dir("qwen2")), "--text", str(text)]


def test_every_setting_takes_its_turns(run, home, tiny):
    settings = ["--lengths", "32,100", "--repeats", "2", "--format", "json", "--threads", "1"]
    code, out, err = run("bench", "decode", *settings, *tiny)
    assert code == 0, err
    found = json.loads(out)
    assert (found["schema"], found["unit"]) == ("longctx.bench/1", "tokens/s")
    assert found["machine"]["cores"] and found["machine"]["torch"]
    assert [row["num_tokens"] for row in found["rows"]] == [32, 100]
    for row in found["rows"]:
        assert len(row["figures"]) == 2 and row["threads"] == 1
        assert min(row["figures"]) <= row["median"] <= max(row["figures"])
        assert min(row["figures"]) > 0


def test_memory_is_held_against_the_prediction(run, home, tiny):
    code, out, _ = run("bench", "memory", "--lengths", "64", "--repeats", "1", *tiny)
    assert code == 0
    title, heads, line = out.splitlines()
    assert title.startswith("memory, ") and "torch " in title
    assert heads.split() == "tokens numerics threads GiB least most predicted".split()
    assert float(line.split()[3]) > 0.1


def test_a_table_in_markdown(run, home, tiny):
    code, out, _ = run(
        "bench", "prefill", "--lengths", "64", "--repeats", "1", "--format", "md", *tiny
    )
    assert code == 0
    assert out.splitlines()[2:4] == [
        "| tokens | numerics | threads | tokens/s | least | most |",
        "| --- | --- | --- | --- | --- | --- |",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--lengths", "many"], 2, "--lengths holds 'many', expected numbers"),
        (["--lengths", "0"], 2, "--lengths holds '0'"),
        (["--lengths", "100000"], 5, "the text holds"),
        (["--lengths", "8", "--numerics", "int3"], 5, "numerics 'int3' is not one of"),
        (["--lengths", "8", "--kv8"], 5, "--kv8 is for activations in bfloat16"),
    ],
)
def test_what_cannot_be_measured_is_named(run, home, tiny, arguments, code, said):
    found = run("bench", "prefill", "--repeats", "1", *arguments, *tiny)
    assert (found.code, found.out) == (code, "")
    assert said in found.err
