import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def tree(tmp_path):
    work = tmp_path / "work"
    (work / "a.py").write_text("def f(a):\n    return 1 / a\n")
    (work / "b.txt").write_text("Hello.\n\x1b[31m[not a tag] :smile:\n")
    (work / "c.bin").write_bytes(b"\x00\x01")
    return work


def test_the_prompt_is_on_stdout_whole_and_harmless(run, model, tree):
    code, out, err = run("pack", ".")
    assert (code, err) == (0, "")
    assert "[line 1]\ndef f(a):\n    return 1 / a\n</document" in out
    assert "[line 1]\nHello.\n[31m[not a tag] :smile:\n</document" in out
    assert "\x1b" not in out


def test_the_same_on_every_run_and_exact_in_a_file(run, model, tree, tmp_path):
    first = run("pack", ".").out
    assert run("pack", ".").out == first
    assert run("pack", ".", "-o", str(tmp_path / "prompt.txt")).code == 0
    text = (tmp_path / "prompt.txt").read_text()
    assert "\x1b[31m[not" in text
    assert text.replace("\x1b", "") == first


def test_json_leads_every_stretch_back_to_its_file(run, model, tree):
    found = json.loads(run("pack", ".", "--format", "json").out)
    assert (found["schema"], found["estimated"]) == ("longctx.pack/1", False)
    (pack,) = found["packs"]
    for span in pack["spans"]:
        stretch = pack["text"][span["text_start"] : span["text_end"]]
        assert (tree / span["name"]).read_text()[span["start"] : span["end"]] == stretch
    assert {span["name"] for span in pack["spans"]} == {"a.py", "b.txt"}
    assert [item["name"] for item in found["skipped"]] == ["c.bin"]


def test_the_manifest_is_a_table(run, model, tree):
    code, out, _ = run("pack", ".", "--manifest")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].endswith("tokens in 2 documents")
    assert [line.split()[1] for line in lines[1:]] == ["a.py", "b.txt", "c.bin"]
    assert "c.bin skipped: " in lines[3]


def test_without_a_model_the_counts_are_estimates_and_say_so(run, tree):
    code, out, err = run("pack", ".", "--manifest")
    assert code == 0
    assert out.startswith("about ")
    assert err.startswith("token counts are estimates: ")
    assert "longctx models pull" in err


def test_over_the_window_is_refused_split_or_trimmed(run, model, tree):
    (tree / "a.py").write_text("value = 1\n" * 400)
    (tree / "b.txt").write_text("word\n" * 400)
    argv = ("pack", ".", "--window", "1500", "--max-tokens", "1")
    code, out, err = run(*argv)
    assert (code, out) == (4, "")
    assert "--fit" in err
    split = json.loads(run(*argv, "--split", "--format", "json").out)
    assert len(split["packs"]) == 2
    fitted = run(*argv, "--fit", "--manifest").out
    assert "left out: " in fitted


def test_a_larger_window_is_for_another_model(run, model, tree):
    (tree / "long.txt").write_text("one more word of this\n" * 20_000)
    assert run("pack", ".").code == 4
    code, out, _ = run("pack", ".", "--window", "200000")
    assert code == 0
    assert out.count("one more word of this\n") == 20_000


def test_a_closed_pipe_is_quiet(tmp_path, tree):
    (tree / "long.txt").write_text("A line of text.\n" * 5_000)
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from longctx.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "pack", ".", "--quiet"],
        cwd=tree,
        env={**os.environ, "LONGCTX_HOME": str(tmp_path / "home")},
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
