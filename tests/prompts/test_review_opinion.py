import pytest

from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.pack import Pack, pack
from longctx.prompts.question import Answer, Piece, Question, Result
from longctx.prompts.review import review
from longctx.prompts.review_opinion import UNIT_CHARACTERS

MEAN = """\
def mean(items):
    total = sum(items)
    return total / len(items)


def last(items):
    return items[-1]
"""
CLEAN = "LIMIT = 3\n"
DIFF = """\
diff --git a/app.py b/app.py
--- a/app.py
+++ b/app.py
@@ -10,2 +10,3 @@ def run():
     name = ask()
+    os.system("rm " + name)
     done()
diff --git a/b.py b/b.py
--- a/b.py
+++ b/b.py
@@ -1 +1 @@
-x = 1
+x = 2
"""


def packed(*documents: tuple[str, str, str]) -> Pack:
    items = [Document(name, text, kind, name) for name, text, kind in documents]
    return pack(items, key=b"k" * 32, count=lambda text: len(text.split()))


class Reviewer:
    """Answers gates and confirmations by a table of words in the question."""

    def __init__(self, listed: dict[str, str], chances: dict[str, float]) -> None:
        self.listed = listed
        self.chances = chances
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        if question.choices:
            yes = next((p for word, p in self.chances.items() if word in question.text), 0.9)
            return Answer(probabilities={"Yes": yes, "No": 1 - yes})
        return Answer(next(text for word, text in self.listed.items() if word in question.text))


def run(packs: list[Pack], reviewer: Reviewer) -> tuple[Result, list[Piece]]:
    shown: list[Piece] = []
    return drive(review(packs, opinion=True), reviewer, shown.append), shown


def test_findings_are_placed_confirmed_ranked_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longctx.prompts.review_opinion.MAX_DEFECTS", 5)
    reviewer = Reviewer(
        {
            "mean.py": "low | bug | Off by one | return items[-1] | empty | check\n"
            "high | bug | Division by zero | `return total / len(items)` | empty list | return 0\n"
            "high | bug | Division again | return total/len(items) | the same | the same\n"
            "high | security | Made up | eval(user_input_of_somebody) | no | no\n"
            "medium | bug | Doubtful | total = sum(items) | perhaps | perhaps\n"
        },
        {"Doubtful": 0.2, "clean.py": 0.05},
    )
    result, shown = run([packed(("mean.py", MEAN, "code"), ("clean.py", CLEAN, "code"))], reviewer)
    assert [(piece.label, piece.heading, str(piece.citations[0].span)) for piece in shown] == [
        ("high", "Division by zero", "mean.py:3"),
        ("low", "Off by one", "mean.py:7"),
    ]
    assert result.pieces == tuple(shown)
    assert shown[0].body == "empty list"
    assert shown[0].confidence is None
    assert result.counts == {
        "files": 2,
        "stretches_asked": 2,
        "dropped_as_repeated": 1,
        "dropped_quote_not_found": 1,
        "held_back_as_unsure": 1,
        "passed_as_clean": 1,
        "files_computed": 2,
        "computed_findings": 0,
        "model_findings": 2,
    }


def test_the_confirmation_has_the_quote_and_the_claim() -> None:
    reviewer = Reviewer(
        {"mean.py": "high | bug | Zero | return total / len(items) | why | fix"}, {}
    )
    run([packed(("mean.py", MEAN, "code"))], reviewer)
    last = reviewer.asked[-1].text
    assert "Code line: return total / len(items)" in last
    assert "Claim: Zero. why" in last


def test_a_quote_of_another_file_is_no_proof() -> None:
    reviewer = Reviewer(
        {"clean.py": "high | bug | Zero | return total / len(items) | w | f", "mean.py": "NONE"}, {}
    )
    packs = [packed(("mean.py", MEAN, "code"), ("clean.py", CLEAN, "code"))]
    result, _ = run(packs, reviewer)
    assert result.pieces == ()
    assert result.counts["dropped_quote_not_found"] == 1


def test_a_long_file_is_asked_stretch_by_stretch_and_quotes_stand_in_theirs() -> None:
    body = "def f{0}():\n    return None\n\n\n"
    text = "".join(body.format(number) for number in range(UNIT_CHARACTERS // 15))
    reviewer = Reviewer({"long.py": "high | bug | None | return None | w | f"}, {})
    result, shown = run([packed(("long.py", text, "code"))], reviewer)
    stretches = result.counts["stretches_asked"]
    assert stretches >= 2
    lines = [piece.citations[0].span.first_line for piece in shown if piece.citations[0].span]
    assert len(lines) == stretches
    assert lines == sorted(set(lines)), "each stretch cites its own line, not the first of the file"


def test_a_diff_is_reviewed_file_by_file_at_the_lines_of_the_new_files() -> None:
    reviewer = Reviewer(
        {
            "change to app.py": 'high | security | Shell | os.system("rm " + name) | w | f',
            "change to b.py": "NONE",
        },
        {},
    )
    result, shown = run([packed(("stdin", DIFF, "diff"))], reviewer)
    assert [str(piece.citations[0].span) for piece in shown] == ["app.py:11"]
    assert result.counts["stretches_asked"] == 2


def test_nothing_found_is_a_result_too() -> None:
    result, shown = run([packed(("clean.py", CLEAN, "code"))], Reviewer({"": "NONE"}, {}))
    assert (shown, result.pieces, result.counts["model_findings"]) == ([], (), 0)


def test_prose_is_read_and_its_kind_is_asked_word_by_word() -> None:
    reviewer = Reviewer(
        {"mean.py": "An empty list divides by zero. The line is `return total / len(items)`."}, {}
    )
    asked = reviewer.__call__

    def reply(question: Question) -> Answer:
        if question.choices and question.choices != ("Yes", "No"):
            reviewer.asked.append(question)
            last = question.choices[-1]
            return Answer(probabilities={word: float(word == last) for word in question.choices})
        return asked(question)

    result = drive(
        review([packed(("mean.py", MEAN, "code"))], opinion=True), reply, lambda piece: None
    )
    (piece,) = result.pieces
    assert (piece.label, piece.heading) == (
        "low",
        "An empty list divides by zero",
    )
    assert piece.body == ""
    assert str(piece.citations[0].span) == "mean.py:3"
