import json
import re

from longctx.cli.speed import Reading, remember


def test_without_a_model_what_is_not_known_is_said(run, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("Hello there.\n")
    code, out, err = run("plan", ".")
    assert code == 0
    assert re.sub(r"about \d+", "about N", out) == (
        "model     qwen2.5-coder-1.5b (not installed: longctx models pull qwen2.5-coder-1.5b)\n"
        "window    32,768 tokens\n"
        "tokens    about N\n"
        "memory    not known without the model\n"
        "reading   not known before the first run\n"
        "left out  0 skipped, 0 cut\n"
    )
    assert "estimates" in err


def test_time_is_known_after_a_run_and_not_before(run, model, home, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("word " * 3_000)
    assert "reading   not known before the first run\n" in run("plan", ".").out
    run("ask", ".", "-q", "?")
    found = json.loads((home / "speed.json").read_text())
    assert list(found) == ["scripted auto all threads"]
    (home / "speed.json").unlink()
    remember(home, "scripted auto all threads", Reading(3_000, 30.0))
    assert "reading   30 s\n" in run("plan", ".").out


def test_too_much_is_shown_and_is_4(run, model, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("word " * 3_000)
    code, out, _ = run("plan", ".", "--window", "1000")
    assert code == 4
    assert "too much  the documents take 3," in out
    assert "--split" in out
    code, out, _ = run("plan", ".", "--window", "1500", "--split")
    assert code == 0
    assert ", in 4 parts\n" in out or ", in 5 parts\n" in out


def test_json(run, model, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("Hello there.\n")
    found = json.loads(run("plan", ".", "--format", "json").out)
    assert found["schema"] == "longctx.plan/1"
    assert (found["installed"], found["estimated"], found["parts"]) == (True, False, 1)
    assert found["reading_seconds"] is None
