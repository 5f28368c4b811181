from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.pack import Pack, pack
from longctx.prompts.question import Answer, Piece, Question, Result
from longctx.prompts.summarize import PART_CHARACTERS, summarize

FILLER = "The rain went on over the grey roofs of the town, and nobody came. " * 10 + "\n\n"
BOOK = "".join(
    f"# Chapter {number}\n\n"
    f"Hero {number} leaves the house of chapter {number} at dawn with a sword.\n\n"
    + FILLER
    * (PART_CHARACTERS // len(FILLER) - 2)
    for number in (1, 2, 3)
)


def packed(name: str, text: str, kind: str = "markdown") -> Pack:
    document = Document(name, text, kind, name)
    return pack([document], key=b"k" * 32, count=lambda text: len(text.split()))


def run(packs: list[Pack], answers: list[str]) -> tuple[Result, list[Piece], list[Question]]:
    asked: list[Question] = []
    shown: list[Piece] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        return Answer(answers[len(asked) - 1])

    result = drive(summarize(packs), reply, shown.append)
    assert len(asked) == len(answers)
    return result, shown, asked


def test_every_chapter_has_its_summary_its_key_sentence_and_a_share_of_the_whole() -> None:
    answers = ["Hero 1 goes.", "Hero 2 goes. Villain 7 is not of this part.", "Hero 3 goes."]
    result, shown, asked = run([packed("book.md", BOOK)], [*answers, "Three heroes go."])
    assert [piece.heading.split(" (")[0] for piece in shown] == [
        "Chapter 1",
        "Chapter 2",
        "Chapter 3",
    ]
    assert [piece.body for piece in shown] == ["Hero 1 goes.", "Hero 2 goes.", "Hero 3 goes."]
    quotes = [[citation.quote for citation in piece.citations] for piece in shown]
    assert [quote[0] for quote in quotes] == [
        f"Hero {number} leaves the house of chapter {number} at dawn with a sword."
        for number in (1, 2, 3)
    ]
    assert str(shown[0].citations[0].span) == "book.md:3"
    assert all(citation.state == "verified" for piece in shown for citation in piece.citations)
    assert result.text == "Three heroes go."
    assert result.counts["parts"] == result.counts["parts_summarized"] == 3
    assert result.counts["dropped_for_foreign_names"] == 1
    assert 'begins with "# Chapter 2 Hero 2' in asked[1].text
    assert "Hero 2 goes." in asked[-1].text
    assert asked[-1].stream


def test_a_copied_opening_leaves_the_quotes_alone() -> None:
    copied = f"Hero 1 leaves the house of chapter 1 at dawn with a sword. {FILLER[:67]}"
    result, shown, asked = run(
        [packed("book.md", BOOK)], [copied, "Hero 2 goes.", "Hero 3 goes.", "All go."]
    )
    assert shown[0].body == "Hero 1 leaves the house of chapter 1 at dawn with a sword."
    assert result.counts["dropped_as_copied"] == 1
    assert "nobody came" not in asked[-1].text


def test_one_part_is_its_own_whole() -> None:
    result, shown, _ = run([packed("note.md", "Buy milk and bread today.\n")], ["A list."])
    assert (result.text, [piece.body for piece in shown]) == ("", ["A list."])


def test_a_part_without_an_answer_is_counted_as_such() -> None:
    result, shown, _ = run([packed("note.md", "Buy milk and bread today.\n")], [" \n"])
    assert shown == []
    assert (result.counts["parts"], result.counts["parts_summarized"]) == (1, 0)


def test_several_packs_are_all_covered() -> None:
    packs = [packed("a.md", "First note of all.\n"), packed("b.md", "Second note of all.\n")]
    result, shown, asked = run(packs, ["One.", "Two.", "Both."])
    assert [piece.body for piece in shown] == ["One.", "Two."]
    assert [question.pack for question in asked[:2]] == packs
    assert result.counts["documents"] == 2


def test_a_small_model_gets_a_page_at_a_time_in_the_question_itself() -> None:
    text = "".join(
        f"Hero {number} leaves the house and walks away.\n\n{FILLER * 3}" for number in (1, 2)
    )
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        number = len(asked)
        return Answer(f"The passage describes that hero {number} leaves. Zorro 9 stays.")

    shown: list[Piece] = []
    drive(summarize([packed("book.txt", text)], by_passage=True), reply, shown.append)
    assert [question.pack.text for question in asked] == ["", ""]
    assert "Hero 1" in asked[0].text and "Hero 2" not in asked[0].text
    assert "Hero 2" in asked[1].text
    assert [piece.body for piece in shown] == ["Hero 1 leaves. Hero 2 leaves."]
