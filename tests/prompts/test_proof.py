"""The sentences that prove an answer, and what of it the text does not have."""

from longctx.ingest.document import Document
from longctx.prompts.pack import pack
from longctx.prompts.proof import missing, prove

LAW = (
    "The court sits in Ulm. It hears both sides.\n\n"
    "An appeal is lodged within 30 days of the judgment. The judge may extend that time once.\n\n"
    "Costs are borne by the party that loses.\n"
)


def packed(*texts, kind="prose"):
    documents = [Document(f"{n}.txt", text, kind, str(n)) for n, text in enumerate(texts)]
    return pack(documents, key=b"k" * 32, count=lambda text: len(text.split()))


def quotes(answer, question, prompt, **given):
    return [one.quote for one in prove(answer, question, prompt, **given).citations]


def test_the_sentence_with_the_words_of_the_answer_comes_first():
    found = prove("The loser bears the costs.", "Who pays?", packed("Nothing.\n", LAW))
    assert found.holds
    assert [one.quote for one in found.citations] == ["Costs are borne by the party that loses."]
    assert [str(one.span) for one in found.citations] == ["1.txt:5"]
    assert [one.state for one in found.citations] == ["verified"]


def test_the_question_decides_between_sentences_that_an_answer_fits_alike():
    text = "Apples cost 30 cents each.\n\nAppeals take 30 days at most.\n"
    assert quotes("30.", "How long do appeals take?", packed(text)) == [
        "Appeals take 30 days at most."
    ]


def test_the_same_sentence_twice_is_one_proof_and_no_more_than_asked_come():
    text = "The fee is 30 euros.\n\n" * 3 + "The fee is 30 euros now.\n\nThe fee is due.\n"
    assert quotes("The fee is 30 euros.", "How much?", packed(text)) == [
        "The fee is 30 euros.",
        "The fee is 30 euros now.",
    ]
    assert len(quotes("The fee is 30 euros.", "How much?", packed(text), most=1)) == 1
    found = prove("The fee is 30 euros.", "How much?", packed(text))
    assert str(found.citations[0].span) == "0.txt:1"


def test_each_sentence_of_an_answer_has_its_proof():
    said = "The court sits in Ulm. The judge may extend the time."
    assert quotes(said, "What of the court?", packed(LAW)) == [
        "The court sits in Ulm.",
        "The judge may extend that time once.",
    ]


def test_each_clause_of_a_long_sentence_and_each_item_of_a_list_has_its_proof():
    duties = (
        "You must give any other recipients of the work a copy of this licence",
        "you must cause any modified files to carry prominent notices of your changes",
        "you must retain all copyright notices in the source form that you distribute",
    )
    text = "".join(f"({letter}) {duty}.\n\n" for letter, duty in zip("abc", duties, strict=True))
    about, prompt = "What must I do?", packed(f"{text}The law of Ulm governs. {LAW}")
    for answer in ("; and ".join(duties) + ".", "\n".join(f"- {duty}" for duty in duties)):
        found = quotes(answer, about, prompt)
        assert [one.split(")")[1].strip(" .") for one in found] == list(duties)
        assert len(quotes(answer, about, prompt, most=2)) == 2
    # a short sentence is one claim
    assert len(quotes("Give a copy; retain notices.", about, prompt, most=1)) == 1


def test_what_is_said_of_a_document_is_proved_from_it():
    texts = "The fee is 30 euros.\n", "The fee is high, said to be 40 euros or so.\n"
    documents = [Document(f"part-{n}.txt", text, "prose", str(n)) for n, text in enumerate(texts)]
    prompt = pack(documents, key=b"k" * 32, count=lambda text: len(text.split()))
    for name in ("part-1.txt", "part-1"):
        found = prove(f"In {name} the fee is 30 euros.", "What is the fee?", prompt)
        assert [one.span.name for one in found.citations if one.span] == ["part-1.txt"]


def test_code_is_taken_by_lines():
    lines = [f"    value_{n} = compute_{n}(argument_{n}, {n})" for n in range(60)]
    text = "def run():\n" + "\n".join(lines) + "\n"
    (quote,) = quotes("compute_41 makes value_41.", "What?", packed(text, kind="code"), most=1)
    assert "value_41 = compute_41" in quote
    assert len(quote) <= 320


def test_chinese_is_compared_by_pairs_of_characters():
    text = "法院在乌尔姆开庭。上诉应当在三十日内提出。费用由败诉方承担。\n"
    assert quotes("三十日内提出上诉。", "期限多长?", packed(text), most=1) == [
        "上诉应当在三十日内提出。"
    ]


def test_another_language_proves_nothing():
    found = prove("Binnen eines Monats.", "Wie lange?", packed(LAW))
    assert not found.holds
    assert not prove("", "", packed(LAW)).citations


def test_names_and_numbers_that_nobody_wrote_are_missing():
    prompt = [packed(LAW), packed("It was founded by Ada Lovelace in 1843.\n")]
    said = "Ada Lovelace, not Alan Turing, founded it in 1943. The court (of Ulm) has 7 judges."
    assert missing(said, "Who founded it?", prompt) == ("Alan Turing", "1943")
    assert missing("Yes, Mr Roy may.", "May Mr Roy appeal?", prompt) == ()
    assert missing("within 30 days", "How long?", prompt) == ()


def test_numbers_of_lines_and_marks_are_no_words_of_the_text() -> None:
    text = "\n".join(f"The {word} crow sat there." for word in ["first", "next"] * 150)
    document = Document("crows.txt", text, "prose", "crows")
    for key in (bytes([number]) * 32 for number in range(20)):
        made = pack([document], key=key, count=lambda text: len(text.split()))
        assert 'lines="300"' in made.text
        answer = "There are 300 of them, 100 in crows.txt and 21 there."
        assert missing(answer, "How many?", [made]) == ("300", "100", "21")
