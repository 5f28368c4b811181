"""The suite of questions (tests/bench/questions.py), asked of a model that is made up."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from longctx.ingest.document import Document
from longctx.prompts.pack import pack
from longctx.prompts.question import Answer

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import questions
from questions_asked import ASKED, TEXTS, Asked, Text

LAW = "The court sits in Ulm.\n" + "It is so.\n" * 50 + "An appeal is lodged within 30 days.\n"
SMALL = (
    Asked("law", "How long?", ("30 days", "a month"), "lodged within 30 days"),
    Asked("law", "Where?", ("Ulm",), "sits in Ulm"),
    Asked("law", "Who pays?"),
)
SAID = {"How long?": "30 DAYS.", "Where?": "In Ulm.", "Who pays?": "They do not say it."}
YES = {"How long?": 0.9, "Where?": 0.4, "Who pays?": 0.4}


class Fake:
    """Answers from the tables and counts what it read."""

    def __init__(self):
        self.num_read = 0
        self.asked = []

    @contextmanager
    def __call__(self, found):
        self.num_read += 1
        yield pack(found, key=b"k" * 32, count=len), self.say

    def say(self, question):
        self.asked.append(question)
        name = next(one for one in SAID if one in question.text)
        if question.choices:
            return Answer(probabilities={"Yes": YES[name], "No": 1 - YES[name]})
        return Answer(SAID[name])


@pytest.fixture
def law(monkeypatch):
    found = [Document("law.txt", LAW, "prose", "law")]
    monkeypatch.setattr(questions, "TEXTS", {"law": Text("laws", ("law.txt",))})
    monkeypatch.setattr(questions, "ASKED", SMALL)
    monkeypatch.setattr(questions, "documents", lambda cache, text: found)


def test_there_are_a_hundred_questions_and_a_third_has_no_answer():
    assert len(ASKED) >= 100
    assert len({(one.text, one.question) for one in ASKED}) == len(ASKED)
    assert 3 * sum(not one.accepted for one in ASKED) == len(ASKED)
    assert {one.text for one in ASKED} == set(TEXTS)
    assert all(bool(one.accepted) == bool(one.place) for one in ASKED)


def test_the_chance_by_the_sources_is_scored_against_what_is_right():
    def row(chance, *, answerable=True, right=False):
        return {"answerable": answerable, "right": right, "chances": {"sources": chance}}

    rows = [
        row(0.9, right=True),
        row(0.5, right=True),
        row(0.5),
        row(0.1, answerable=False),
        row(0.95, answerable=False),
        {"answerable": True, "right": False, "chances": {}},
    ]
    scored = questions._doubts(rows)
    assert scored["answers"] == {"right": 2, "wrong": 1, "made_up": 2}
    assert scored["doubted"] == {"right": 1, "wrong": 1, "made_up": 1}
    assert (scored["auc_of_wrong"], scored["auc_of_made_up"]) == (0.75, 0.5)
    assert scored["auc"] == round(3.5 / 6, 3)
    assert [(one["answers"], one["right"]) for one in scored["right_by_chance"]] == [
        (1, 0), (0, 0), (2, 1), (0, 0), (2, 1),
    ]  # fmt: skip


def test_a_text_is_read_once_and_scored(law, tmp_path):
    model, out = Fake(), tmp_path / "out.jsonl"
    questions.run(tmp_path, out, "fake", model)
    assert model.num_read == 1
    found = questions.rows(out)
    assert [(row["right"], row["cited_right"], row["absent"]) for row in found] == [
        (True, True, False),
        (True, True, False),
        (False, False, True),
    ]
    scored = questions.score(found)
    assert (scored["accuracy"], scored["right_and_cited_right"]) == (1.0, 2)
    assert (scored["cited_right_of_answers"], scored["absent_said_of_absent"]) == (1.0, 1.0)
    # a tie counts half before the answer; "not there" said in the answer is chance 0 after it
    assert [scored["roc"][gate]["auc"] for gate in ("before", "after")] == [0.75, 1.0]
    assert scored["roc"]["before"]["points"] == [
        {"least": 0.4, "absent_of_absent": 0.0, "absent_of_answerable": 0.0},
        {"least": 0.9, "absent_of_absent": 1.0, "absent_of_answerable": 0.5},
    ]


def test_what_is_answered_is_not_asked_again_after_a_kill(law, tmp_path):
    model, out = Fake(), tmp_path / "out.jsonl"
    questions.run(tmp_path, out, "fake", model, limit=2)
    before = out.read_text()
    out.write_text(before + '{"model": "fa')
    model.asked.clear()
    questions.run(tmp_path, out, "fake", model)
    assert out.read_text().startswith(before)
    assert {"Who pays?"} == {name for one in model.asked for name in SAID if name in one.text}
    assert [row["question"] for row in questions.rows(out)] == list(SAID)
    questions.run(tmp_path, out, "fake", model)
    assert model.num_read == 2


def test_a_place_that_is_not_there_or_not_alone_is_refused(law):
    found = [Document("law.txt", LAW, "prose", "law")]
    for words in ("nowhere", "It is so"):
        with pytest.raises(RuntimeError, match="exactly once"):
            questions.place(Asked("law", "?", ("x",), words), found)
