import json
import os
import stat
from dataclasses import replace

import pytest

from longctx.runtime.catalog import DEFAULT

LAW = "The court sits in Ulm.\nAn appeal is lodged within 30 days [not a tag] of it.\n"
QUOTE = "An appeal is lodged within 30 days [not a tag] of it."


@pytest.fixture
def law(model, tmp_path):
    (tmp_path / "work" / "law.txt").write_text(LAW)
    model.say = lambda question: "  Within 30 days.\n"
    return model


def records(home):
    return sorted((home / "chats").glob("*.json"))


def test_every_line_of_a_pipe_is_a_question(run, law):
    code, out, err = run("chat", "law.txt", "--session", "s", stdin=b"How long?\n\nWhere?\n")
    assert code == 0
    assert out == "".join(
        f'Within 30 days.\n  [{number}] law.txt:2: "{QUOTE}"\n\n' for number in (1, 2)
    )
    assert err.endswith("longctx chat --continue --session s goes on from here\n")
    assert law.num_loads == law.num_closed == 1


def test_a_turn_begins_with_all_that_was_said_before(run, law):
    run("chat", "law.txt", stdin=b"How long?\nWhere?\n")
    first, second = law.questions
    assert first.startswith("Question: How long?")
    assert second.startswith(f"{first}\1  Within 30 days.\n\2Question: Where?")


def test_where_words_lead_nowhere_the_model_is_asked_for_the_place(run, law):
    law.say = lambda question: (
        f'"{QUOTE}"\n"Made up by me."' if "Copy from" in question else "Binnen eines Monats."
    )
    _, out, err = run("chat", "law.txt", stdin=b"Wie lange?\nWo?\n")
    assert out.count(f'law.txt:2: "{QUOTE}"') == 2
    assert err.count("1 quote was not found in the documents, and left out\n") == 2
    first, _, second, _ = law.questions
    assert second.startswith(f"{first}\1Binnen eines Monats.\2Question: Wo?")


def test_what_the_text_does_not_have_is_named(run, law):
    law.say = lambda question: "An appeal to John Doe is lodged."
    _, out, _ = run("chat", "law.txt", stdin=b"How long?\n")
    assert "\n  The text does not have: John Doe\n\n" in out


@pytest.fixture
def measured(monkeypatch):
    """The scripted model as one whose chances were measured."""
    entry = replace(DEFAULT, name="scripted", least=0.2)
    monkeypatch.setattr("longctx.runtime.catalog.ENTRIES", (entry,))


def test_a_turn_that_the_model_doubts_by_its_sources_says_so(run, law, measured):
    law.yes = 0.3
    said = run("chat", "law.txt", stdin=b"How long?\nAnd who says so?\n").out
    assert said.count("\n  Not sure: by these sources alone the model gives this a chance of") == 2
    # a question may leave out what the one before it named
    assert "was asked: How long? And who says so?" in law.questions[-1]
    law.yes = 0.9
    assert "Not sure" not in run("chat", "law.txt", stdin=b"How long?\n").out


def test_a_turn_whose_answer_is_hardly_there_is_told_so(run, law, measured, home):
    law.yes = 0.1
    said = run("chat", "law.txt", stdin=b"How long?\nWho pays?\n").out
    assert said == "Not in the text.\n\nNot in the text.\n\n"
    # each time the gate and nothing else, the second with the first turn before it
    assert len(law.questions) == 2
    assert "\1Not in the text.\2" in law.questions[1]
    (record,) = records(home)
    assert [one["answer"] for one in json.loads(record.read_text())["exchanges"]] == [
        "Not in the text.",
        "Not in the text.",
    ]
    argv = ("chat", "law.txt", "--least")
    assert run(*argv, "0", stdin=b"How long?\n").out.startswith("Within 30 days.")
    law.yes = 0.3
    assert run(*argv, "0.4", stdin=b"How long?\n").out == "Not in the text.\n\n"


def test_a_conversation_is_continued_where_it_ended(run, law, home):
    run("chat", "law.txt", "--session", "a", stdin=b"How long?\n")
    run("chat", "law.txt", "--session", "b", stdin=b"What?\n")
    os.utime(home / "chats" / "b.json", ns=(1, 1))
    law.questions.clear()
    code, out, err = run("chat", "--continue", stdin=b"Where?\n/open 1\n")
    assert code == 0
    assert "a: 1 turn so far\n" in err
    assert law.questions[0].startswith("Question: How long?")
    assert "  [2] law.txt:2" in out
    assert ">      2  An appeal is lodged within 30 days [not a tag] of it.\n" in out
    assert [one["question"] for one in json.loads(records(home)[0].read_text())["exchanges"]] == [
        "How long?",
        "Where?",
    ]


def test_conversations_are_private_and_hold_no_password(run, law, home):
    run("chat", "law.txt", "--password", "hunter2", stdin=b"How long?\n")
    (path,) = records(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "hunter2" not in path.read_text()
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_changed_documents_are_read_again_and_named(run, law, tmp_path):
    run("chat", ".", "--session", "s", stdin=b"How long?\n")
    (tmp_path / "work" / "law.txt").write_text("Nothing is left.\n")
    (tmp_path / "work" / "new.txt").write_text("New.\n")
    code, out, err = run("chat", "--continue", stdin=b"/open 1\n/files\n")
    assert code == 2
    assert "changed since the last turn, read as it is now: law.txt, new.txt;" in err
    assert "/open 1: the documents no longer hold this quote\n" in err
    assert out.splitlines() == [
        line for line in out.splitlines() if line.startswith(("law.txt  (", "new.txt  ("))
    ]


def test_add_reads_more_after_what_is_read(run, law, home, tmp_path):
    work = tmp_path / "work"
    (work / "a").mkdir()
    (work / "a" / "law.txt").write_text("Another law.\n")
    stdin = b"How long?\n/add a\n/add law.txt\n/add nowhere\n/add 'x\n/files\nWhere?\n"
    code, out, err = run("chat", ".", "--exclude", "/a/", "--session", "s", stdin=stdin)
    assert code == 2
    assert "added a/law.txt\n" in err
    assert "there is nothing new in law.txt\n" in err
    assert "'nowhere' does not exist" in err
    assert '/add "\'x" has no closing quotation\n' in err
    assert [line.split()[0] for line in out.splitlines() if "tokens" in line] == [
        "law.txt",
        "a/law.txt",
    ]
    assert json.loads(records(home)[0].read_text())["paths"] == [["."], ["a"]]
    assert law.questions[-2].startswith("Question: How long?")
    _, out, _ = run("chat", "--continue", stdin=b"/files\n")
    assert "a/law.txt" in out


def test_save_and_export(run, law, tmp_path):
    stdin = b"/save early.txt\nHow\x1b[2J long?\n/save a.txt\n/export b.md\n/save law.txt\n/save\n"
    code, _, err = run("chat", "law.txt", "--session", "s", stdin=stdin)
    work = tmp_path / "work"
    quote = f'"{QUOTE}"'
    assert code == 2
    assert (work / "a.txt").read_text() == f"Within 30 days.\n\nSources\n    law.txt:2: {quote}\n"
    assert (work / "b.md").read_text() == (
        "# s\n\n- `law.txt`\n\n## How[2J long?\n\nWithin 30 days.\n\n"
        f"> {quote[1:-1]}\n> (`law.txt:2`)\n"
    )
    assert (work / "law.txt").read_text() == LAW
    assert "'law.txt' exists already\n" in err
    assert "/save: nothing was answered yet\n" in err
    assert "/save takes FILE\n" in err
    assert not (work / "early.txt").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"/fly\n", "there is no command '/fly'"),
        (b"/open x\n", "/open 'x': expected sources first"),
        (b"/open\n", "/open takes N"),
    ],
)
def test_a_wrong_command_is_told_and_the_rest_goes_on(run, law, line, said):
    code, out, err = run("chat", "law.txt", stdin=line + b"How long?\n")
    assert code == 2
    assert said in err
    assert out.startswith("Within 30 days.")


def test_help_and_quit(run, law):
    code, out, _ = run("chat", "law.txt", stdin=b"/help\n/quit\nHow long?\n")
    assert code == 0
    for name in ("/add PATH...", "/files", "/open N", "/save FILE", "/export FILE", "/quit"):
        assert name in out
    assert law.questions == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "longctx chat needs paths to read"),
        (("-",), "longctx chat needs paths to read"),
        (("law.txt", "--split"), "--split is not for it"),
        (("law.txt", "--session", "../x"), "--session '../x' is no name"),
        (("law.txt", "--session", "s"), "there is a conversation 's' already"),
        (("--continue", "--session", "t"), "there is no conversation 't'; there are: s"),
        (("--continue", "law.txt"), "s has its own paths"),
        (("--continue", "--include", "*.py"), "s has its own paths"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_read(run, law, argv, said):
    run("chat", "law.txt", "--session", "s", stdin=b"How long?\n")
    code, out, err = run("chat", *argv, stdin=b"How long?\n")
    assert (code, out) == (2, "")
    assert said in err


def test_conversations_of_one_second_have_names_of_their_own(run, law, home, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "2026-11-30-141143")
    for _ in range(3):
        assert run("chat", "law.txt", stdin=b"How long?\n").code == 0
    names = sorted(path.stem for path in records(home))
    assert names == ["2026-11-30-141143", "2026-11-30-141143-2", "2026-11-30-141143-3"]


def test_nothing_to_continue(run, law):
    code, _, err = run("chat", "--continue", stdin=b"")
    assert code == 2
    assert "there is no conversation to continue\n" in err


def test_a_conversation_goes_on_in_its_own_directory(run, law, tmp_path, monkeypatch):
    run("chat", "law.txt", "--session", "s", stdin=b"How long?\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = run("chat", "--continue", stdin=b"")
    assert code == 2
    assert f"cd {tmp_path / 'work'}\n" in err


@pytest.mark.parametrize("text", ["{", "{}", '{"version": 9}', '{"version": 1, "sources": 3}'])
def test_a_damaged_conversation_is_a_clear_error(run, law, home, text):
    (home / "chats").mkdir(parents=True)
    (home / "chats" / "s.json").write_text(text)
    code, _, err = run("chat", "--continue", stdin=b"")
    assert code == 2
    assert "s.json cannot be read as a conversation" in err


def test_control_characters_reach_neither_stream(run, law, tmp_path):
    (tmp_path / "work" / "law.txt").write_text("The \x9b31mcourt sits\u202e in Ulm every day.\n")
    law.say = lambda question: (
        '"The \x9b31mcourt sits\u202e in Ulm every day."'
        if "Copy from the documents" in question
        else "\x1b[2JIn\x9b31m Ulm\u202e\r"
    )
    code, out, err = run(
        "chat", "law.txt", "-v", stdin=b"Where\x1b[2J?\n/open 1\n/files\n/\x1b[2J\n"
    )
    assert "[2JIn31m Ulm\n" in out
    assert "court sits in Ulm" in out
    assert not set(out + err) & set("\x1b\x07\x9b\u202e\x00\r")


def test_the_oldest_turns_give_way_and_it_is_said(run, law):
    law.say = lambda question: "Not in the text."
    lines = "".join(f"{number} {'word ' * 150}\n" for number in range(9)).encode()
    code, _, err = run("chat", "law.txt", "--window", "4096", "--max-tokens", "40", stdin=lines)
    assert code == 0
    assert "the model no longer sees its first 2 turns\n" in err
    assert law.questions[-1].rpartition("\2")[2].startswith("Question: 8 word")
    assert "Question: 0 word" not in law.questions[-1]


def test_what_was_said_before_a_kill_is_kept(run, law, home):
    def say(question: str) -> str:
        if "Copy from" in question:
            raise KeyboardInterrupt
        return "Binnen eines Monats."

    law.say = say
    code, out, err = run("chat", "law.txt", "--session", "s", stdin=b"How long?\nWhere?\n")
    assert (code, out) == (130, "Binnen eines Monats.\n")
    (said,) = json.loads(records(home)[0].read_text())["exchanges"]
    assert said == {"question": "How long?", "answer": "Binnen eines Monats.", "citations": []}
