from longctx.cli.drive import drive
from longctx.prompts.join import JOIN_CHARACTERS, join
from longctx.prompts.question import Answer, Job, Question, Result


def run(notes: list[str]) -> tuple[str, list[Question]]:
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        return Answer(f"joined {len(question.text.splitlines())}")

    def job() -> Job:
        text = yield from join(notes, lambda listed: listed, max_tokens=9, label="joining")
        return Result("test", text=text)

    return drive(job(), ask, lambda piece: None).text, asked


def test_few_notes_are_one_question() -> None:
    text, asked = run(["- a", "- b"])
    assert (text, [question.stream for question in asked]) == ("joined 2", [True])


def test_many_notes_are_joined_in_rounds_and_only_the_last_streams() -> None:
    note = "x" * (JOIN_CHARACTERS // 4)
    text, asked = run([note] * 9)
    assert [len(question.text.splitlines()) for question in asked] == [4, 4, 1, 3]
    assert [question.stream for question in asked] == [False, False, False, True]
    assert text == "joined 3"


def test_notes_longer_than_a_question_still_end() -> None:
    text, _ = run(["x" * JOIN_CHARACTERS] * 5)
    assert text.startswith("joined")
