import pytest

from longctx.ingest.document import Document
from longctx.prompts.proofread import (
    AFTER,
    CLEARLY,
    IN_CONDITION,
    SURELY,
    SURPRISE,
    proofreading,
    unlikely_findings,
)
from longctx.prompts.question import Correction

CODE = """\
def insert(path, name):
    path = clean(path)
    if path not in known:
        known.insert(0, name)
    path.strip()
    return path
"""
ALL = range(1, 100)


def corrected(old, new, *, nth=0, here=9.0, after=CLEARLY, text=CODE):
    """A Correction of the nth `old`, or of nothing in front of what stands behind `|`."""
    if "|" in old:
        before, behind = old.split("|")
        start = end = text.index(before + behind) + len(before)
    else:
        start = -1
        for _ in range(nth + 1):
            start = text.index(old, start + 1)
        end = start + len(old)
    return Correction(start, end, new, here, after)


def findings(*corrections, text=CODE):
    return unlikely_findings(Document("a.py", text, "code", "a"), corrections)


def test_bodies_are_asked_about_and_what_decides_a_condition_sooner():
    asked = proofreading(Document("a.py", CODE, "code", "a"), ALL)
    said = [(CODE[start:end], surprise) for start, end, surprise in asked.places]
    assert said[:4] == [("path", SURPRISE), ("=", SURPRISE), ("clean", SURPRISE), ("(", SURPRISE)]
    soon = [word for word, surprise in said if surprise == IN_CONDITION]
    assert soon == ["if", "path", "not", "in", "known"]
    assert asked.text == CODE


def test_only_the_wanted_lines_are_asked_about():
    asked = proofreading(Document("a.py", CODE, "code", "a"), {4})
    assert "".join(CODE[start:end] for start, end, _ in asked.places) == "known.insert(0,name)"
    assert proofreading(Document("a.py", CODE, "code", "a"), {1}) is None
    assert proofreading(Document("a.md", CODE, "text", "a"), ALL) is None


def test_a_wrong_variable():
    (finding,) = findings(corrected(" name", " path", nth=1, after=5.0))
    assert finding.heading == "`name` where `path` is expected"
    assert str(finding.span) == "a.py:4"
    assert finding.quote == "known.insert(0, name)"
    assert finding.citations[0].state == "verified"
    assert finding.suggestion == "`known.insert(0, path)`, if that is meant."
    assert finding.body == "To the model what follows is 148 times as likely with that."
    assert (finding.source, finding.kind, finding.label) == ("model", "unlikely", "medium")
    assert finding.confidence is None


def test_how_much_likelier_is_said_up_to_a_million():
    (finding,) = findings(corrected(" name", " path", nth=1, after=800.0))
    assert "what follows is more than 1,000,000 times as likely" in finding.body


def test_tokens_within_words_are_shown_as_whole_words():
    text = CODE.replace("known", "old_parsed").replace("clean", "new_parsed")
    (finding,) = findings(corrected(" old", " new", text=text), text=text)
    assert finding.heading == "`old_parsed` where `new_parsed` is expected"


def test_what_is_missing_and_what_is_too_much():
    missing = corrected("    |path.strip", "path =", here=0.0)
    extra = corrected(" not", "", here=0.0)
    assert [one.heading for one in findings(missing, extra)] == [
        "`path =` seems to be missing",
        "`not` seems to be too much",
    ]


@pytest.mark.parametrize(
    "correction",
    [
        corrected(" name", " path", nth=1, after=AFTER - 0.01),
        # a name that the file does not have
        corrected(" name", " place", nth=1),
        # hardly likelier itself, and neither a condition nor an assignment
        corrected("insert(0|, name", ", path", here=0.0),
        corrected("    path.strip()\n", ""),
        corrected(" name", "\n path", nth=1),
        corrected(" name", " name", nth=1),
        corrected("    |return", "# path\t"),
    ],
    ids=["little", "unknown", "addition", "line away", "line more", "same", "comment"],
)
def test_what_is_not_shown(correction):
    assert findings(correction) == []


def test_what_is_surely_missing_is_shown_though_it_is_but_added():
    (finding,) = findings(corrected("insert(0|, name", " path,", here=0.0, after=SURELY))
    assert finding.heading == "`path,` seems to be missing"


def test_one_of_a_line_and_the_surest_first():
    weak = corrected(" name", " path", nth=1, after=AFTER)
    strong = corrected("(0", "(path", after=AFTER + 2)
    other = corrected(" not", "", here=0.0, after=AFTER + 0.5)
    shown = findings(weak, strong, other)
    assert [(one.span.first_line, one.label) for one in shown] == [(4, "medium"), (3, "low")]
    assert shown[0].heading == "`0` where `path` is expected"
