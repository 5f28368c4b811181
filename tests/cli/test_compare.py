import json

import pytest

OLD = "1. TERM\n\nOne year from now.\n\n2. PRICE\n\nThe buyer pays USD 5,000 within 30 days.\n"
NEW = "1. TERM\n\nOne year from now.\n\n2. PRICE\n\nThe buyer pays USD 6,000 within 30 days.\n"
TEXT = """\
changed  2. PRICE
    Was: The buyer pays.
    Now: The buyer pays.
    Only in old.txt: USD 5,000
    Only in new.txt: USD 6,000
    old.txt:7: "The buyer pays USD 5,000 within 30 days."
    new.txt:7: "The buyer pays USD 6,000 within 30 days."

(passages 2, same 1, changed 1, removed 0, added 0)
"""


@pytest.fixture
def two(model, tmp_path):
    (tmp_path / "work" / "old.txt").write_text(OLD)
    (tmp_path / "work" / "new.txt").write_text(NEW)
    model.say = lambda question: "The buyer pays."
    return model


def test_what_changed(run, two):
    code, out, err = run("compare", "old.txt", "new.txt")
    assert (code, out) == (0, TEXT)
    assert err == "loading the model\ncomparing passage 2 of 2\n"


def test_one_side_from_a_pipe(run, two):
    code, out, _ = run("compare", "-", "new.txt", stdin=OLD.encode())
    assert (code, out) == (0, TEXT.replace("old.txt", "stdin"))


def test_equal_files_need_no_engine(run, two, tmp_path):
    (tmp_path / "work" / "copy.txt").write_text(OLD)
    code, out, _ = run("compare", "old.txt", "copy.txt")
    assert (code, out) == (0, "(passages 2, same 2, changed 0, removed 0, added 0)\n")
    assert two.num_loads == 0


@pytest.mark.parametrize(
    ("paths", "code", "said"),
    [
        (["old.txt"], 2, "compare needs two files"),
        (["old.txt", "."], 2, "'.' is a directory"),
        (["old.txt", "old.txt"], 2, "compare takes different files"),
        (["old.txt", "gone.txt"], 3, "'gone.txt' does not exist"),
        (["old.txt", "picture.png"], 3, "picture.png cannot be compared: "),
    ],
)
def test_what_cannot_be_compared(run, two, tmp_path, paths, code, said):
    (tmp_path / "work" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    outcome = run("compare", *paths)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert two.num_loads == 0


def test_json(run, two):
    found = json.loads(run("compare", "old.txt", "new.txt", "--format", "json").out)
    assert found["schema"] == "longctx.compare/1"
    assert [piece["label"] for piece in found["pieces"]] == ["changed"]
    assert found["counts"]["same"] == 1
