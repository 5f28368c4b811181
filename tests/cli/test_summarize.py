import json

TEXT = """\
notes.md:1-3
    Milk is to be bought.
    notes.md:3: "Buy milk before the shop shuts."

(documents 1)
"""


def test_one_part_from_a_pipe_or_a_file(run, model, tmp_path):
    text = "Notes of the day.\n\nBuy milk before the shop shuts.\n"
    (tmp_path / "work" / "notes.md").write_text(text)
    model.say = lambda question: "Milk is to be bought."
    code, out, err = run("summarize", "notes.md")
    assert (code, out) == (0, TEXT)
    assert err == "loading the model\nsummarizing notes.md, 1 of 1\n"
    code, out, _ = run("summarize", stdin=text.encode())
    assert (code, out) == (0, TEXT.replace("notes.md", "stdin"))


def test_parts_then_the_whole_streamed_or_not(run, model, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / "work" / name).write_text(f"Everything about {name} stands here.\n")

    def say(question: str) -> str:
        if "These are summaries" in question:
            return "Two files, both short.\n"
        return "A file."

    model.say = say
    expected = (
        'a.txt:1\n    A file.\n    a.txt:1: "Everything about a.txt stands here."\n\n'
        'b.txt:1\n    A file.\n    b.txt:1: "Everything about b.txt stands here."\n\n'
        "Overall\nTwo files, both short.\n\n(documents 2, parts 2, parts summarized 2)\n"
    )
    assert run("summarize", ".").out == expected
    assert run("summarize", ".", "--no-stream").out == expected
    found = json.loads(run("summarize", ".", "--format", "json").out)
    assert (found["schema"], found["text"]) == ("longctx.summarize/1", "Two files, both short.")


def test_skipped_files_are_in_the_json_and_the_manifest(run, model, tmp_path):
    (tmp_path / "work" / "a.txt").write_text("Text stands here.\n")
    (tmp_path / "work" / "b.bin").write_bytes(b"\x00\x01\x02")
    found = json.loads(run("summarize", ".", "--format", "json").out)
    assert [item["name"] for item in found["skipped"]] == ["b.bin"]
    err = run("summarize", ".", "--manifest").err
    assert "b.bin skipped: " in err
    assert " a.txt\n" in err
