"""A second look at an answer: its sources alone."""

from longctx.cli.drive import drive
from longctx.cli.options import Format
from longctx.cli.render import whole
from longctx.ingest.document import Document
from longctx.prompts.ask import BEFORE, SOURCES, ask, ask_each
from longctx.prompts.pack import Pack, pack
from longctx.prompts.question import Answer, Question, Result

LAW = "Of appeals.\nAn appeal is lodged within 30 days of the judgment.\nThe judge may extend it."
TALE = "Once there was a king.\nHe had three sons.\n"


def packed(name: str, text: str) -> Pack:
    document = Document(name, text, "prose", name)
    return pack([document], key=b"k" * 32, count=lambda text: len(text.split()))


def answered(chance: float, *texts: str, each: bool = False) -> tuple[Result, list[Question]]:
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        if question.choices:
            yes = chance if "A reader of this text" in question.text else 0.9
            return Answer(probabilities={"Yes": yes, "No": 1 - yes})
        return Answer("An appeal is lodged within 45 days.")

    packs = [packed(f"{number}.txt", text) for number, text in enumerate(texts)]
    question, gates = "How long is the time to appeal?", (BEFORE, SOURCES)
    job = (
        ask_each({pack.documents[0].name: [pack] for pack in packs}, question, gates=gates)
        if each
        else ask(packs, question, gates=gates)
    )
    return drive(job, reply, lambda piece: None), asked


def test_the_model_sees_the_sources_and_not_the_documents() -> None:
    result, asked = answered(0.25, LAW)
    look = asked[-1]
    assert (look.pack.text, look.choices) == ("", ("Yes", "No"))
    assert "An appeal is lodged within 30 days of the judgment." in look.text
    assert "How long is the time to appeal?" in look.text
    assert "within 45 days" in look.text
    assert "The judge may extend it." not in look.text
    assert result.chances == {"before": 0.9, "sources": 0.25}


def test_an_answer_of_several_parts_is_looked_at_once_with_all_its_sources() -> None:
    result, asked = answered(0.7, LAW, LAW.replace("30", "60"))
    looks = [one for one in asked if "A reader of this text" in one.text]
    assert len(looks) == 1
    assert "within 30 days" in looks[0].text
    assert "within 60 days" in looks[0].text
    assert result.chances["sources"] == 0.7


def test_an_answer_that_is_not_sure_is_shown_with_a_warning() -> None:
    for form in (Format.text, Format.md):
        doubtful, sure = (whole(answered(chance, LAW)[0], form) for chance in (0.25, 0.95))
        assert "Not sure: by these sources alone the model gives this a chance of 25%" in doubtful
        assert "Not sure" not in sure


def test_each_document_has_a_chance_of_its_own() -> None:
    result, _ = answered(0.25, LAW, LAW + "\nMore.", each=True)
    assert [piece.confidence for piece in result.pieces] == [0.25, 0.25]
    for form in (Format.text, Format.md):
        assert whole(result, form).count("a chance of 25%") == 2


def test_an_answer_without_sources_has_no_chance() -> None:
    result, asked = answered(0.25, TALE)
    assert not result.citations
    assert "sources" not in result.chances
    assert not any("A reader of this text" in one.text for one in asked)
