from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.ask import ask
from longctx.prompts.pack import Pack, pack
from longctx.prompts.question import Answer, Question, Result

LAW = "The court sits in Ulm.\nAn appeal is lodged within 30 days of the judgment.\n"
TALE = "The fox came down at dusk and took the goose.\n"


def packed(name: str, text: str) -> Pack:
    document = Document(name, text, "prose", name)
    return pack([document], key=b"k" * 32, count=lambda text: len(text.split()))


def run(packs: list[Pack], *answers: str) -> tuple[Result, list[Question]]:
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        return Answer(answers[len(asked) - 1])

    result = drive(ask(packs, "How long is the time to appeal?"), reply, lambda piece: None)
    assert len(asked) == len(answers)
    return result, asked


def test_the_answer_streams_and_its_proof_is_found_by_its_words() -> None:
    result, asked = run([packed("law.txt", LAW)], " 30 days. ")
    assert asked[0].stream
    assert result.text == "30 days."
    assert [str(citation.span) for citation in result.citations] == ["law.txt:2"]
    assert result.counts == {"parts": 1, "parts_with_an_answer": 1, "quotes_not_found": 0}


def test_where_words_lead_nowhere_the_model_is_asked_for_the_proof() -> None:
    result, asked = run(
        [packed("law.txt", LAW)],
        "Binnen eines Monats.",
        '"An appeal is lodged within 30 days of the judgment."\n"The judge may extend the time."',
    )
    assert [question.stream for question in asked] == [True, False]
    assert [str(citation.span) for citation in result.citations] == ["law.txt:2"]
    assert result.counts["quotes_not_found"] == 1


def test_what_the_answer_names_and_no_part_has_is_said() -> None:
    result, _ = run([packed("law.txt", LAW)], "It is 45 days, says Judge Roy in Ulm.")
    assert result.missing == ("45", "Judge Roy")


def test_what_is_not_in_the_text_needs_no_proof() -> None:
    result, asked = run([packed("tale.txt", TALE)], "Not in the text.")
    assert (result.text, result.citations) == ("Not in the text.", ())
    assert "How long is the time to appeal?" in asked[0].text


def test_each_part_is_asked_and_the_answers_are_joined() -> None:
    result, asked = run(
        [packed("law.txt", LAW), packed("tale.txt", TALE), packed("more.txt", LAW)],
        "30 days.",
        "Not in the text.",
        "In Ulm.",
        "30 days, in Ulm.",
    )
    assert result.text == "30 days, in Ulm."
    assert [str(citation.span) for citation in result.citations] == ["law.txt:2", "more.txt:1"]
    assert asked[-1].stream
    assert asked[-1].pack.text == ""
    assert "- 30 days.\n- In Ulm." in asked[-1].text
    assert result.counts["parts_with_an_answer"] == 2


def test_one_part_with_an_answer_is_not_joined() -> None:
    result, _ = run(
        [packed("law.txt", LAW), packed("tale.txt", TALE)], "30 days.", "Not in the text."
    )
    assert (result.text, len(result.citations)) == ("30 days.", 1)


def test_no_part_with_an_answer() -> None:
    parts = [packed("a.txt", TALE), packed("b.txt", TALE)]
    result, _ = run(parts, "Not in the text.", "It is not stated in the documents.")
    assert result.text == "Not in the text."
    assert result.counts["parts_with_an_answer"] == 0


def gated(least: float, gates: tuple[str, ...], **chances: float) -> tuple[Result, list[Question]]:
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        if question.choices:
            yes = chances["after" if "Answer: 30 days." in question.text else "before"]
            return Answer(probabilities={"Yes": yes, "No": 1 - yes})
        return Answer("30 days.")

    job = ask([packed("law.txt", LAW)], "How long is it?", gates=gates, least=least)
    return drive(job, reply, lambda piece: None), asked


def test_chances_are_measured_before_and_after_the_answer() -> None:
    result, asked = gated(0.0, ("before", "after"), before=0.2, after=0.7)
    assert (result.text, result.chances) == ("30 days.", {"before": 0.2, "after": 0.7})
    assert [bool(question.choices) for question in asked] == [True, False, True]
    assert asked[1].stream


def test_a_chance_below_the_least_is_no_answer_and_nothing_was_shown() -> None:
    result, asked = gated(0.5, ("before", "after"), before=0.6, after=0.4)
    assert (result.text, result.chances) == ("Not in the text.", {"before": 0.6, "after": 0.4})
    assert not any(question.stream for question in asked)
    result, asked = gated(0.7, ("before",), before=0.6)
    assert (result.text, len(asked)) == ("Not in the text.", 1)


def test_a_part_that_passed_is_not_told_that_it_may_lack_the_answer() -> None:
    _, asked = gated(0.5, ("before",), before=0.6)
    assert "do not say it" not in asked[1].text
    _, asked = gated(0.0, ("before",), before=0.6)
    assert "do not say it" in asked[1].text
