import json
from dataclasses import replace

import pytest

from longctx.cli.run import SHORT_TOKENS, SLACK_TOKENS
from longctx.prompts.passages import BESIDE
from longctx.prompts.together import WIDTH
from longctx.runtime.catalog import DEFAULT

LAW = "The court sits in Ulm.\nAn appeal is lodged within 30 days [not a tag] :smile: of it.\n"


@pytest.fixture
def law(model, tmp_path):
    (tmp_path / "work" / "law.txt").write_text(LAW)

    model.say = lambda question: "  Within 30 days [not a tag] :smile:."
    return model


TEXT = """\
Within 30 days [not a tag] :smile:.

Sources
    law.txt:2: "An appeal is lodged within 30 days [not a tag] :smile: of it."
"""
MARKDOWN = """\
Within 30 days [not a tag] :smile:.

## Sources

> An appeal is lodged within 30 days [not a tag] :smile: of it.
> (`law.txt:2`)
"""


@pytest.mark.parametrize("once", [[], ["--no-stream"]])
@pytest.mark.parametrize(("form", "expected"), [("text", TEXT), ("md", MARKDOWN)])
def test_the_answer_and_its_sources(run, law, form, expected, once):
    code, out, err = run("ask", "law.txt", "-q", "How long?", "--format", form, *once)
    assert (code, out) == (0, expected)
    assert err == "loading the model\nanswering\n"


def test_quiet_says_nothing_beside_the_answer(run, law):
    assert run("ask", "law.txt", "-q", "How long?", "--quiet") == (0, TEXT, "")


@pytest.mark.parametrize(("finds_in", "warned"), [(None, False), (40, False), (5, True)])
def test_more_than_the_model_was_seen_to_find_in_is_said(run, law, monkeypatch, finds_in, warned):
    entry = replace(DEFAULT, name="scripted", finds_in=finds_in)
    monkeypatch.setattr("longctx.cli.run.find", lambda name: entry)
    code, out, err = run("ask", "law.txt", "-q", "How long?")
    assert code == 0
    said = "more than the 5 in which scripted was seen to find what it is asked for"
    assert (said in err) == warned


def test_the_engine_is_loaded_once(run, law):
    run("ask", "law.txt", "-q", "How long?")
    assert (law.num_loads, len(law.questions)) == (1, 1)


def test_json_has_everything(run, law):
    code, out, _ = run("ask", "law.txt", "-q", "How long?", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "schema", "version", "model", "complete", "error", "text", "citations", "pieces",
        "counts", "chances", "missing", "data", "documents", "skipped", "cuts", "usage", "timing",
    ]  # fmt: skip
    assert (found["schema"], found["complete"], found["error"]) == ("longctx.ask/1", True, None)
    assert found["citations"][0]["state"] == "verified"
    assert found["citations"][0]["span"]["first_line"] == 2
    assert found["documents"][0]["name"] == "law.txt"
    assert found["usage"]["questions"] == 1
    assert set(found["timing"]) == {"total_seconds", "reading_seconds", "writing_seconds"}


def test_the_chance_that_it_is_there_decides_before_anything_is_written(run, law):
    law.yes = 0.3
    argv = ("ask", "law.txt", "-q", "How long?", "--format", "json")
    found = json.loads(run(*argv, "--least", "0.2").out)
    assert found["chances"] == {"before": 0.3, "sources": 0.3}
    assert found["usage"]["questions"] == 3
    found = json.loads(run(*argv, "--least", "0.4").out)
    assert (found["chances"], found["usage"]["questions"]) == ({"before": 0.3}, 1)
    assert (found["text"], found["counts"]["parts_with_an_answer"]) == ("Not in the text.", 0)


def test_a_model_whose_chances_were_measured_decides_without_being_told(run, law, monkeypatch):
    measured = replace(DEFAULT, name="scripted", least=0.5)
    monkeypatch.setattr("longctx.runtime.catalog.ENTRIES", (measured,))
    law.yes = 0.3
    argv = ("ask", "law.txt", "-q", "How long?", "--format", "json")
    assert json.loads(run(*argv).out)["text"] == "Not in the text."
    found = json.loads(run(*argv, "--least", "0").out)
    assert (found["text"][:14], found["chances"]) == ("Within 30 days", {})


def test_an_answer_that_the_model_doubts_by_its_sources_says_so(run, law):
    law.yes = 0.3
    argv = ("ask", "law.txt", "-q", "How long?", "--least", "0.2")
    doubt = "Not sure: by these sources alone the model gives this a chance of 30%"
    assert f"\n{doubt}\n" in run(*argv).out
    assert f"\n**{doubt}**\n" in run(*argv, "--format", "md").out
    assert "A reader of this text was asked: How long?" in law.questions[-1]
    law.yes = 0.8
    assert "Not sure" not in run(*argv).out


def test_each_document_has_a_doubt_of_its_own(run, law):
    law.yes = 0.3
    argv = ("ask", "law.txt", "-q", "How long?", "--least", "0.2", "--each")
    assert "    Not sure: by these sources alone" in run(*argv).out
    (piece,) = json.loads(run(*argv, "--format", "json").out)["pieces"]
    assert piece["confidence"] == 0.3


def test_what_the_text_does_not_have_is_named(run, law):
    law.say = lambda question: "An appeal to John Doe is lodged in Ulm within 3,000 days."
    argv = ("ask", "law.txt", "-q", "How long?")
    assert "\nThe text does not have: John Doe, 3,000\n" in run(*argv).out
    assert "\n**The text does not have: John Doe, 3,000**\n" in run(*argv, "--format", "md").out
    found = json.loads(run(*argv, "--format", "json").out)
    assert found["missing"] == ["John Doe", "3,000"]


def test_a_failure_has_the_same_shape(run, law, tmp_path):
    good = json.loads(run("ask", "law.txt", "-q", "How long?", "--format", "json").out)
    code, out, err = run("ask", "no.txt", "-q", "How long?", "--format", "json")
    bad = json.loads(out)
    assert code == 3
    assert list(bad) == list(good)
    assert bad["complete"] is False
    assert "'no.txt' does not exist" in bad["error"]["message"]
    assert "'no.txt' does not exist" in err


def test_a_file_gets_the_whole_result_at_once(run, law, tmp_path):
    code, out, err = run("ask", "law.txt", "-q", "How long?", "-o", "answer.txt")
    assert (code, out) == (0, "")
    assert "wrote answer.txt" in err
    work = tmp_path / "work"
    assert (work / "answer.txt").read_text() == TEXT
    assert sorted(path.name for path in work.iterdir()) == ["answer.txt", "law.txt"]


def test_control_characters_reach_neither_stream(run, law, tmp_path):
    law.say = lambda question: "\x1b[2J\x07Red\x9b31m\u202eelif\x00\r\n\tend"
    code, out, err = run("ask", "law.txt", "-q", "How\x1b[2J?", "-v")
    assert code == 0
    assert out.startswith("[2JRed31melif\n\tend\n")
    assert not set(out + err) & set("\x1b\x07\x9b\u202e\x00\r")


def test_json_keeps_control_characters_as_escapes(run, law):
    law.say = lambda question: "a\x1b[2J\x9b\u202eb"
    out = run("ask", "law.txt", "-q", "How?", "--format", "json").out
    assert "a\\u001b[2J\\u009b\\u202eb" in out
    assert json.loads(out)["text"] == "a\x1b[2J\x9b\u202eb"


def test_a_cut_answer_is_said_to_be_cut(run, law):
    law.say = lambda question: "word " * 100
    code, out, err = run("ask", "law.txt", "-q", "How long?", "--max-tokens", "10")
    assert code == 0
    assert out.startswith("word word\n")
    assert "2 answers were cut short (--max-tokens allows longer ones)\n" in err
    assert (
        "answering: cut at 10 tokens\n"
        in run("ask", "law.txt", "-q", "?", "-v", "--max-tokens", "10").err
    )


def test_over_the_window_is_refused_and_names_the_ways(run, law, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / "work" / name).write_text("word " * 900)
    argv = ("ask", ".", "-q", "How long?", "--max-tokens", "20", "--window", "1600")
    code, out, err = run(*argv)
    assert (code, out) == (4, "")
    assert "--fit" in err
    assert "--split" in err
    assert law.num_loads == 0
    code, out, err = run(*argv, "--split")
    assert code == 0
    assert "read in 2 parts" in err
    assert "parts 2" in out
    code, out, err = run(*argv, "--fit")
    assert code == 0
    assert "left out" in err


def test_ctrl_c_keeps_what_was_said(run, law):
    def say(question: str) -> str:
        if "Copy from" in question:
            raise KeyboardInterrupt
        return "Binnen eines Monats."

    law.say = say
    code, out, err = run("ask", "law.txt", "-q", "How long?")
    assert (code, out) == (130, "Binnen eines Monats.\n")
    assert err.endswith("longctx: stopped\n")
    code, out, _ = run("ask", "law.txt", "-q", "How long?", "--format", "json")
    assert code == 130
    assert json.loads(out)["error"]["message"] == "stopped"
    assert json.loads(out)["text"] == "Binnen eines Monats."


def test_a_missing_model_is_5_with_the_line_to_type(run, tmp_path):
    (tmp_path / "work" / "law.txt").write_text(LAW)
    code, out, err = run("ask", "law.txt", "-q", "How long?")
    assert (code, out) == (5, "")
    assert "longctx models pull qwen2.5-coder-1.5b\n" in err


def test_the_environment_names_a_model(run, tmp_path, monkeypatch):
    (tmp_path / "work" / "law.txt").write_text(LAW)
    monkeypatch.setenv("LONGCTX_MODEL", "qwen2.5-coder-0.5b")
    assert "pull qwen2.5-coder-0.5b" in run("ask", "law.txt", "-q", "?").err
    assert "pull smollm2-135m" in run("ask", "law.txt", "-q", "?", "--model", "smollm2-135m").err


def test_a_fault_of_our_own_is_70_and_its_traceback_needs_v(run, law):
    def say(question: str) -> str:
        raise ZeroDivisionError("a \x1b[31mbug")

    law.say = say
    code, out, err = run("ask", "law.txt", "-q", "How long?")
    assert (code, out) == (70, "")
    assert "a fault in longctx itself: ZeroDivisionError: a [31mbug\n" in err
    assert "Traceback" not in err
    assert "Traceback" in run("ask", "law.txt", "-q", "How long?", "-v").err


FORM = """\
place
    Ulm
    law.txt:1: "The court sits in Ulm."

judge
    Not in the text.

"""


def test_a_form_is_filled_in(run, law):
    law.say = lambda question: '{"place": "Ulm", "judge": null}'
    assert run("ask", "law.txt", "--fields", "place, judge,place", "--quiet") == (0, FORM, "")
    schema = json.loads(law.grammars[0])
    assert schema["required"] == ["place", "judge"]
    code, out, _ = run("ask", "law.txt", "--fields", "place,judge", "--format", "json")
    found = json.loads(out)
    assert (code, found["data"], found["missing"]) == (0, {"place": "Ulm", "judge": None}, [])
    assert found["pieces"][0]["citations"][0]["span"]["first_line"] == 1


def test_a_schema_is_taken_from_a_file(run, law, tmp_path):
    (tmp_path / "work" / "form.json").write_text('{"type": "integer"}')
    law.say = lambda question: "45"
    code, out, err = run("ask", "law.txt", "--schema", "form.json", "-q", "How many days?")
    assert (code, law.grammars) == (0, ['{"type": "integer"}'])
    assert out == "answer\n    45\n\nThe text does not have: 45\n"
    assert "How many days?" in law.questions[0]


def test_half_a_form_is_refused(run, law):
    law.say = lambda question: '{"place": "Ulm and many more'
    code, out, err = run("ask", "law.txt", "--fields", "place", "--max-tokens", "12", "--quiet")
    assert (code, out) == (5, "")
    assert "cut at 12 tokens" in err and "--max-tokens" in err


EACH = """\
law.txt: place
    Ulm
    law.txt:1: "The court sits in Ulm."

tale.txt
    the answer was cut at 17 tokens and is no whole JSON (--max-tokens N allows a longer one;
"""


def test_each_document_has_a_form_of_its_own(run, law, tmp_path):
    (tmp_path / "work" / "tale.txt").write_text("The fox came at dusk.\n")
    law.say = lambda question: (
        '{"place": "Ulm"}' if len(law.questions) == 1 else '{"place": "The fox'
    )
    given = ["--fields", "place", "--each", "--csv-output", "forms.csv", "--max-tokens", "17"]
    code, out, err = run("ask", "law.txt", "tale.txt", *given)
    assert (code, err.count("longctx:")) == (0, 0), err
    assert out.startswith(EACH.rstrip("\n"))
    assert out.endswith("(documents 2, forms 1)\n")
    assert "law.txt: answering" in err and "wrote forms.csv" in err
    table = (tmp_path / "work" / "forms.csv").read_text()
    assert table == "document,place\nlaw.txt,Ulm\ntale.txt,\n"
    law.questions.clear()
    code, out, _ = run("ask", "law.txt", "tale.txt", *given, "--format", "json")
    found = json.loads(out)
    assert found["data"] == {"law.txt": {"place": "Ulm"}, "tale.txt": None}
    assert [one["name"] for one in found["documents"]] == ["law.txt", "tale.txt"]


def test_short_documents_have_room_side_by_side_and_long_ones_do_not(run, law, tmp_path):
    law.say = lambda question: '{"place": null}'
    given = ["ask", "law.txt", "tale.txt", "--fields", "place", "--each", "--max-tokens", "100"]
    sizes = {SHORT_TOKENS - 100: WIDTH * (SHORT_TOKENS - 100), SHORT_TOKENS + 100: SLACK_TOKENS}
    for num_words, beside in sizes.items():
        (tmp_path / "work" / "tale.txt").write_text("fox " * num_words)
        assert run(*given).code == 0
        alone = num_words + law.overhead + 100
        assert alone + beside < law.room < alone + beside + SLACK_TOKENS


@pytest.mark.parametrize(
    ("window", "longest", "most"), [(20_000, 9_000, BESIDE), (8_200, 9_000, 400), (20_000, 50, 0)]
)
def test_passages_stand_beside_a_question_as_far_as_there_is_room(
    run, law, monkeypatch, tmp_path, window, longest, most
):
    monkeypatch.setattr("longctx.cli.run.NEAR_TOKENS", longest)
    tale = "".join(f"The fox of hill {number} sleeps.\n" for number in range(600))
    (tmp_path / "work" / "tale.txt").write_text(f"{tale}{LAW}{tale}")
    given = [
        "-q",
        "Where is the court of the hill?",
        "--max-tokens",
        "100",
        "--window",
        str(window),
    ]
    assert run("ask", "tale.txt", *given).code == 0
    found = law.questions[0].partition("</passages")[0]
    assert ("in Ulm" in found) == (most > 0)
    assert most / 2 <= len(found) <= most + 200


def test_each_document_has_an_answer_of_its_own(run, law, tmp_path):
    (tmp_path / "work" / "tale.txt").write_text("The fox came at dusk.\n")
    law.say = lambda question: "Within 30 days." if len(law.questions) == 1 else "Not in the text."
    given = ["-q", "How long?", "--each", "--csv-output", "answers.csv", "--quiet"]
    code, out, err = run("ask", "law.txt", "tale.txt", *given)
    assert (code, err) == (0, "")
    assert out == (
        "law.txt\n    Within 30 days.\n"
        '    law.txt:2: "An appeal is lodged within 30 days [not a tag] :smile: of it."\n\n'
        "tale.txt\n    Not in the text.\n\n(documents 2, answers 1)\n"
    )
    table = (tmp_path / "work" / "answers.csv").read_text()
    assert table == "document,answer\nlaw.txt,Within 30 days.\ntale.txt,\n"
    assert len(law.questions) == 2


def test_one_form_for_all_is_one_row(run, law, tmp_path):
    (tmp_path / "work" / "tale.txt").write_text("The fox came at dusk.\n")
    law.say = lambda question: '{"place": "Ulm"}'
    given = ["--fields", "place", "--csv-output", "forms.csv"]
    assert run("ask", "law.txt", "tale.txt", *given).code == 0
    table = (tmp_path / "work" / "forms.csv").read_text()
    assert table == 'document,place\n"law.txt, tale.txt",Ulm\n'


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "nothing is asked"),
        (["-q", "How long?", "--csv-output", "a.csv"], "for --fields, --schema and --each"),
        (["--fields", "a", "--csv-output", "a.csv", "--watch"], "does not go with --watch"),
        (["--fields", "a", "--csv-output", "no/such.csv"], "mkdir -p"),
        (["-q", " "], "nothing is asked"),
        (["--fields", " , "], "has no names"),
        (["--fields", "a", "--schema", "form.json"], "two ways to say the same"),
        (["--fields", "a", "--least", "0.5"], "--least is for a question"),
        (["--schema", "none.json"], "none.json: cannot be read as JSON"),
        (["--schema", "law.txt"], "law.txt: cannot be read as JSON"),
        (["--schema", "list.json"], "expected an object, found [1]"),
    ],
)
def test_a_form_that_cannot_be_is_refused(run, law, tmp_path, words, reason):
    (tmp_path / "work" / "list.json").write_text("[1]")
    code, out, err = run("ask", "law.txt", *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert law.num_loads == 0
