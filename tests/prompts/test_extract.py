import json

import pytest

from longctx.cli.drive import drive
from longctx.ingest.document import Document
from longctx.prompts.extract import QUESTION, CutShort, extract, fields_schema
from longctx.prompts.pack import Pack, pack
from longctx.prompts.question import Answer, Question, Result

LEASE = (
    "The flat is let by Anna Bauer.\n\nThe rent is EUR 1,250.00 a month.\n\n"
    "Cats are allowed, dogs are not.\n"
)
MORE = "A deposit of EUR 3,750 is paid. The tenants are Tom Ruiz and Mei Chen.\n"
SCHEMA = '{"type": "object", "properties": {"kind": {"enum": ["lease", "sale"]}}}'


def packed(name: str, text: str) -> Pack:
    document = Document(name, text, "prose", name)
    return pack([document], key=b"k" * 32, count=lambda text: len(text.split()))


def run(packs: list[Pack], *answers: object, question: str = "") -> tuple[Result, list[Question]]:
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        return Answer(json.dumps(answers[len(asked) - 1]))

    pieces = []
    result = drive(extract(packs, question, SCHEMA), reply, pieces.append)
    assert tuple(pieces) == result.pieces
    assert len(asked) == len(answers)
    return result, asked


def said(result: Result) -> dict[str, str]:
    return {piece.heading: piece.body for piece in result.pieces}


def places(result: Result) -> dict[str, list[str]]:
    return {
        piece.heading: [str(citation.span) for citation in piece.citations]
        for piece in result.pieces
    }


def test_each_value_comes_with_the_sentence_it_is_from() -> None:
    answer = {"landlord": "Anna Bauer", "rent": 1250.0, "dogs": False, "guarantor": None}
    result, asked = run([packed("lease.txt", LEASE)], answer)
    assert result.data == answer
    assert said(result) == {
        "landlord": "Anna Bauer", "rent": "1250.0", "dogs": "false",
        "guarantor": "Not in the text.",
    }  # fmt: skip
    assert places(result) == {
        "landlord": ["lease.txt:1"], "rent": ["lease.txt:3"], "dogs": ["lease.txt:5"],
        "guarantor": [],
    }  # fmt: skip
    assert result.missing == ()
    assert asked[0].schema == SCHEMA and SCHEMA in asked[0].text and QUESTION in asked[0].text
    assert not asked[0].stream


def test_a_question_takes_the_place_of_our_own() -> None:
    _, asked = run([packed("lease.txt", LEASE)], {}, question="Who lets it?")
    assert asked[0].text.startswith("Who lets it?\n") and QUESTION not in asked[0].text


def test_what_is_made_up_is_said() -> None:
    answer = {"landlord": "Anna Bauer", "agent": "Otto Kern", "rent": 1300, "kind": "lease"}
    result, _ = run([packed("lease.txt", LEASE)], {"a": answer, "b": ["Otto Kern", True]})
    # a word of the schema is chosen and not read
    assert result.missing == ("Otto Kern", "1300")
    assert list(said(result)) == ["a.landlord", "a.agent", "a.rent", "a.kind", "b[0]", "b[1]"]


def test_the_sentence_holds_the_value_as_it_stands() -> None:
    text = (
        "The minimum version, with 1.3.0 fixed and 0.1 out, is a matter of taste.\n\n"
        "One needs R 3.1.0.\n"
    )
    result, _ = run([packed("faq.txt", text)], {"minimum version": "3.1.0"})
    assert places(result) == {"minimum version": ["faq.txt:3"]}


def test_a_value_of_many_objects_is_found_beside_the_others_of_its_own() -> None:
    text = "Ann Kern is 41.\n\nBea Roth, of Ulm, is 37.\n\nCal Roth, of Graz, is 37 as well.\n"
    people = [{"name": "Bea Roth", "age": 37}, {"name": "Cal Roth", "age": 37}]
    result, _ = run([packed("list.txt", text)], {"people": people})
    assert places(result) == {
        "people[0].name": ["list.txt:3"], "people[0].age": ["list.txt:3"],
        "people[1].name": ["list.txt:5"], "people[1].age": ["list.txt:5"],
    }  # fmt: skip


def test_a_version_or_a_sum_must_stand_there_as_a_whole() -> None:
    text = "Since version 2.3 on 5 May it needs R 4.1.0; 1,250 users.\n"
    answer = {"least": "R 4.1.0", "version": "4.2.3", "users": "1,250", "since": "2.3 on 5 May"}
    result, _ = run([packed("faq.txt", text)], answer)
    assert result.missing == ("4.2.3",)


def test_parts_fill_in_what_is_open_and_lists_are_joined() -> None:
    packs = [packed("lease.txt", LEASE), packed("more.txt", MORE)]
    first = {"rent": 1250, "deposit": None, "tenants": ["Tom Ruiz"], "note": ""}
    second = {"rent": 1, "deposit": 3750, "tenants": ["Tom Ruiz", "Mei Chen"], "note": "paid"}
    result, _ = run(packs, first, second)
    assert result.data == {
        "rent": 1250, "deposit": 3750, "tenants": ["Tom Ruiz", "Mei Chen"], "note": "paid",
    }  # fmt: skip
    assert places(result)["deposit"] == ["more.txt:1"]
    assert places(result)["tenants[1]"] == ["more.txt:1"]


@pytest.mark.parametrize("empty", [[], "", None])
def test_what_says_nothing_is_not_in_the_text(empty: object) -> None:
    result, _ = run([packed("lease.txt", LEASE)], {"parties": empty})
    assert said(result) == {"parties": "Not in the text."}
    assert result.missing == () and result.data == {"parties": empty}


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (1250, True), (1250.5, True), (1.25, True), (-7, True), (3.141592, True), (10**400, False),
        (592, False), (1e-05, False), (105, False), (12, True), (345, True),
    ],
)  # fmt: skip
def test_a_number_is_known_however_it_is_written(value: float, known: bool) -> None:
    text = "It costs 1.250,50 or 1,250.00, minus 7, times 3.141592; 12, 345.\n"
    text += "A rate of 1.250 is paid.\n"
    result, _ = run([packed("sums.txt", text)], {"sum": value})
    assert (result.missing == ()) == known
    assert bool(result.pieces[0].citations) == known


def test_a_word_for_nothing_is_nothing_where_that_may_be() -> None:
    optional = {"type": ["string", "null"]}
    schema = {
        "type": "object",
        "properties": {
            "agent": optional,
            "names": {"type": "array", "items": optional},
            "other": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "must": {"type": "string"},
        },
    }
    answer = {
        "agent": "null",
        "names": ["N/A.", "Anna Bauer"],
        "must": "none",
        "more": "null",
        "other": "none",
    }
    job = extract([packed("lease.txt", LEASE)], "", json.dumps(schema))
    result = drive(job, lambda question: Answer(json.dumps(answer)), lambda piece: None)
    assert result.data == {
        "agent": None, "names": [None, "Anna Bauer"], "must": "none", "more": "null",
        "other": None,
    }  # fmt: skip


def test_a_value_may_stand_alone() -> None:
    result, _ = run([packed("lease.txt", LEASE)], "Anna Bauer")
    assert said(result) == {"answer": "Anna Bauer"}


def test_half_a_form_is_none() -> None:
    job = extract([packed("lease.txt", LEASE)], "", SCHEMA, max_tokens=9)
    with pytest.raises(CutShort, match="cut at 9 tokens"):
        drive(job, lambda question: Answer('{"kind": "le', finished=False), print)


def test_the_schema_of_fields_has_them_in_order() -> None:
    schema = json.loads(fields_schema(["monthly rent", "Miete"]))
    assert list(schema["properties"]) == schema["required"] == ["monthly rent", "Miete"]
    assert schema["properties"]["Miete"] == {"type": ["string", "null"]}
    assert not schema["additionalProperties"]


def test_passages_for_every_field_stand_beside_the_form() -> None:
    filler = "\n\n".join(f"Clause {number} is left as it was before." for number in range(300))
    schema = {
        "properties": {
            "monthly_rent": {"type": "number"},
            "parties": {"items": {"properties": {"tenants": {"description": "who pays it"}}}},
            "pets": {"description": "are cats or dogs allowed"},
        }
    }
    asked: list[Question] = []

    def reply(question: Question) -> Answer:
        asked.append(question)
        return Answer("{}")

    text = f"{filler}\n\n{LEASE}\n\n{filler}\n\n{MORE}\n\n{filler}"
    job = extract([packed("lease.txt", text)], "", json.dumps(schema))
    drive(job, reply, lambda piece: None)
    before = asked[0].text[: asked[0].text.index(QUESTION)]
    assert before.startswith("Passages of the documents")
    assert all(one in before for one in ("1,250.00", "Tom Ruiz", "dogs are not"))
