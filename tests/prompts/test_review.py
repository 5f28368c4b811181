import pytest

from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.finding import Finding, explained
from longctx.prompts.pack import pack
from longctx.prompts.question import Answer, Piece, Question, Result
from longctx.prompts.review import AROUND_CHARACTERS, review

CODE = """\
import requests


def load(url, seen=[]):
    seen.append(url)
    return requests.get(url, verify=False)
"""


def run(text=CODE, name="a.py", answer=None, **options):
    documents = [Document(name, text, "code", name)]
    packs = [pack(documents, key=b"k" * 32, count=len)]
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        if question.choices:
            return Answer(
                probabilities={word: 1 / len(question.choices) for word in question.choices}
            )
        return answer or Answer("It leaks.")

    shown: list[Piece] = []
    result = drive(review(packs, **options), ask, shown.append)
    assert tuple(shown) == result.pieces
    return result, asked


def kinds(result: Result) -> list[str]:
    return [piece.kind for piece in result.pieces if isinstance(piece, Finding)]


def test_what_is_computed_is_shown_without_a_question():
    result, asked = run()
    assert asked == []
    assert kinds(result) == ["mutable-default", "no-certificate-check", "no-timeout"]
    assert dict(result.counts) == {"files": 1, "files_computed": 1, "computed_findings": 3}
    first = result.pieces[0]
    assert (str(first.span), first.quote, first.code) == (
        "a.py:4",
        "[]",
        "def load(url, seen=[]):",
    )
    assert [str(span) for span in first.related] == ["a.py:5"]
    assert all(CODE[one.span.start : one.span.end] == one.quote for one in result.pieces)


def test_a_remark_is_asked_with_the_function_around_and_nothing_else():
    result, asked = run(explain=True)
    findings, remarks = result.pieces[:3], result.pieces[3:]
    assert [piece.body for piece in remarks] == ["It leaks."] * 3
    assert remarks[0].heading == "The model on a.py:4 (mutable-default)"
    assert [piece.remark for piece in findings] == [""] * 3
    assert [piece.remark for piece in explained(result.pieces)] == ["It leaks."] * 3
    assert all(question.pack.text == "" and question.max_tokens == 60 for question in asked)
    assert "def load(url, seen=[]):" in asked[0].text
    assert "import requests" not in asked[0].text


def test_all_that_is_computed_is_shown_before_the_model_is_asked():
    packs = [pack([Document("a.py", CODE, "code", "a")], key=b"k" * 32, count=len)]
    shown: list[Piece] = []

    def ask(question: Question) -> Answer:
        assert len(shown) == 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(review(packs, explain=True, opinion=True), ask, shown.append)


def test_a_remark_that_was_cut_is_left_out():
    result, _ = run(explain=True, answer=Answer("It leaks because", finished=False))
    assert len(result.pieces) == 3


def test_the_lines_around_are_few_where_the_function_is_long():
    text = CODE.replace("    seen.append", "    print(url)\n" * 1_000 + "    seen.append")
    _, asked = run(text, explain=True)
    assert max(len(question.text) for question in asked) < AROUND_CHARACTERS + 600


def test_the_model_is_heard_after_the_code_and_marked():
    listed = "high | bug | Slow | return requests.get(url, verify=False) | waits | no"
    result, _ = run(opinion=True, answer=Answer(listed))
    assert [piece.source for piece in result.pieces] == ["computed"] * 3 + ["model"]
    assert result.counts["model_findings"] == result.counts["stretches_asked"] == 1
    assert result.pieces[3].code == "    return requests.get(url, verify=False)"


@pytest.mark.parametrize(
    ("focus", "expected"),
    [
        ({"security"}, ["no-certificate-check"]),
        ({"correctness"}, ["mutable-default", "no-timeout"]),
        ({"security", "correctness"}, ["mutable-default", "no-certificate-check", "no-timeout"]),
        ({"performance"}, []),
    ],
)
def test_focus(focus, expected):
    result, _ = run(focus=focus)
    assert kinds(result) == expected
    assert result.counts.get("out_of_focus", 0) == 3 - len(expected)


def test_fingerprints_stay_when_lines_move_and_tell_equal_lines_apart():
    before = [piece.fingerprint for piece in run()[0].pieces]
    after = [piece.fingerprint for piece in run("\n\n# new\n" + CODE)[0].pieces]
    assert before == after
    twice = [piece.fingerprint for piece in run(CODE + CODE)[0].pieces]
    assert len(set(twice)) == 6
    assert set(before) < set(twice)


def test_what_is_known_is_hidden_and_counted():
    known = {run()[0].pieces[0].fingerprint}
    result, _ = run(known=known)
    assert kinds(result) == ["no-certificate-check", "no-timeout"]
    assert result.counts["known_before"] == 1


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("# longctx: ignore[no-timeout]", {"no-timeout"}),
        (
            "# longctx: ignore[no-timeout, no-certificate-check]",
            {"no-timeout", "no-certificate-check"},
        ),
        ("# longctx: ignore", {"no-timeout", "no-certificate-check"}),
        ("# longctx: ignore[other]", set()),
    ],
)
def test_a_comment_suppresses_on_its_line_and_from_the_line_above(comment, expected):
    on_line = CODE.replace("verify=False)", f"verify=False)  {comment}")
    above = CODE.replace("    return", f"    {comment}\n    return")
    beside = CODE.replace("    seen.append(url)", f"    seen.append(url)  {comment}")
    for text, wanted in [(on_line, expected), (above, expected), (beside, set())]:
        result, _ = run(text)
        found = {piece.kind for piece in result.pieces if piece.suppressed == "comment"}
        assert found == wanted
        assert len(result.pieces) == 3
        assert result.counts["computed_findings"] == 3 - len(wanted)


def test_a_file_suppresses_by_kind_and_path_or_by_id():
    fingerprint = run()[0].pieces[0].fingerprint
    for ignored, num in [(["no-timeout"], 1), (["* a*"], 3), (["* b*"], 0), ([fingerprint], 1)]:
        result, _ = run(ignored=ignored)
        assert [piece.suppressed for piece in result.pieces].count("file") == num


def test_nothing_found_is_a_result_too():
    result, _ = run("x = 1\n")
    assert result.pieces == ()
    assert result.counts["computed_findings"] == 0
