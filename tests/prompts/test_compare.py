from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.compare import PASSAGE_CHARACTERS, compare, compare_each
from longctx.prompts.question import Answer, Job, Piece, Question, Result

OLD = """\
# Term

This agreement lasts for 12 months from 1 May 2024.

# Payment

The buyer pays USD 5,000 within 30 days of the invoice.

# Courts

The courts of Ulm decide every dispute under this agreement.
"""
NEW = """\
# Term

This agreement lasts  for 12 months from 1 May 2024.

# Payment

The buyer pays USD 6,000 within 10 days of the invoice.

# Secrecy

Neither party tells anyone what the other party's machines can do.
"""


def document(name: str, text: str) -> Document:
    return Document(name, text, "markdown", name)


def run(job: Job) -> tuple[Result, list[Piece], list[Question]]:
    asked: list[Question] = []
    shown: list[Piece] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        if "passage by passage" in question.text:
            return Answer("Dearer, faster, more secret.")
        return Answer("A dear gist." if "6,000" in question.text else "A gist.")

    return drive(job, reply, shown.append), shown, asked


def test_the_whole_first_sentence_that_differs_is_quoted() -> None:
    old = "# Pay\n\nPay at once. The buyer pays\n  in gold. Or not."
    new = "# Pay\n\nPay at once. The buyer pays\n  in silver. Or " + "so and " * 50
    _, shown, _ = run(compare(document("old.md", old), document("new.md", new)))
    quotes = [citation.quote for citation in shown[0].citations]
    assert quotes == ["The buyer pays in gold.", "The buyer pays in silver."]
    long = new.replace("silver. Or", "silver or")
    _, shown, _ = run(compare(document("old.md", old), document("new.md", long)))
    cut = shown[0].citations[1]
    assert cut.span and cut.quote == " ".join(long[cut.span.start : cut.span.end].split())
    assert 150 < len(cut.quote) <= 200 and cut.quote.endswith("and")


def test_same_passages_are_counted_and_only_the_others_are_asked() -> None:
    result, shown, asked = run(compare(document("old.md", OLD), document("new.md", NEW)))
    assert [(piece.label, piece.heading) for piece in shown] == [
        ("changed", "Payment"),
        ("added", "Secrecy"),
        ("removed", "Courts"),
    ]
    assert shown[0].body == (
        "Was: A gist.\n"
        "Now: A dear gist.\n"
        "Only in old.md: USD 5,000, 30 days\n"
        "Only in new.md: USD 6,000, 10 days"
    )
    assert [str(citation.span) for citation in shown[0].citations] == ["old.md:7", "new.md:7"]
    assert shown[1].body == "A gist."
    assert result.text == "Dearer, faster, more secret."
    assert result.counts == {"passages": 4, "same": 1, "changed": 1, "removed": 1, "added": 1}
    assert len(asked) == 5
    assert [question.stream for question in asked] == [False, False, False, False, True]


def test_equal_documents_need_no_question() -> None:
    result, shown, asked = run(compare(document("a.md", OLD), document("b.md", OLD)))
    assert (shown, asked, result.text) == ([], [], "")
    assert result.counts["same"] == 3


def test_a_long_passage_is_asked_where_it_differs() -> None:
    lines = [f"Line {number} of the long clause says nothing new.\n" for number in range(300)]
    other = [*lines[:200], "Line 200 now says that all is free.\n", *lines[201:]]
    left, right = "# Long\n\n" + "".join(lines), "# Long\n\n" + "".join(other)
    assert len(left) > PASSAGE_CHARACTERS
    result, shown, asked = run(compare(document("a.md", left), document("b.md", right)))
    assert "Line 200 of" in asked[0].text
    assert "now says that all is free" in asked[1].text
    assert not any("Line 100 of" in question.text for question in asked)
    assert "asked_by_their_beginning_only" not in result.counts
    assert [str(citation.span) for citation in shown[0].citations] == ["a.md:203", "b.md:203"]


def test_a_passage_that_only_lost_a_sentence_has_no_now() -> None:
    left = "# Term\n\nIt lasts a year. Either side may end it early.\n"
    right = "# Term\n\nIt lasts a year.\n"
    _, shown, asked = run(compare(document("a.md", left), document("b.md", right)))
    assert [piece.body for piece in shown] == ["Was: A gist."]
    assert "Either side may end it early." in asked[0].text


def test_a_heading_alone_is_named_and_not_asked() -> None:
    right = OLD.replace("# Courts", "# PART TWO\n\n# Courts")
    result, shown, asked = run(compare(document("a.md", OLD), document("b.md", right)))
    assert [(piece.label, piece.heading, piece.body) for piece in shown] == [
        ("added", "PART TWO", "")
    ]
    assert asked == []


def test_a_long_new_passage_is_cut_and_that_is_counted() -> None:
    text = OLD + "\n# Annex\n\n" + "Every screw is listed here by its own number. " * 200 + "\n"
    result, _, asked = run(compare(document("a.md", OLD), document("b.md", text)))
    assert result.counts["asked_by_their_beginning_only"] == 1
    assert any("[...]" in question.text for question in asked)


def test_more_than_two_are_compared_with_the_first() -> None:
    left, same, new = document("a.md", OLD), document("b.md", OLD), document("c.md", NEW)
    result, shown, asked = run(compare_each(left, [same, new]))
    assert result.counts["same"] == 4
    assert shown[-1].heading == "Overall: a.md and c.md"
    assert result.text == ""
    assert not any(question.stream for question in asked)
