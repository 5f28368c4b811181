"""The job of filling in a form: JSON that follows a schema, and where each value stands."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from longctx.ingest.words import words
from longctx.prompts.ask import ABSENT, asking
from longctx.prompts.pack import Pack
from longctx.prompts.passages import BESIDE, beside
from longctx.prompts.proof import prove
from longctx.prompts.question import Citation, Job, Piece, Question, Result, Task
from longctx.prompts.template import fill
from longctx.prompts.together import together

QUESTION = "What do the documents say of each of the fields below?"
_NUMBER = re.compile(r"\d+(?:[.,' ]\d{3}(?!\d))*(?:[.,]\d+)?")
# What a model writes where it should leave a field open.
_NOTHING = {"", "null", "none", "n/a"}
# Versions, dates and sums, of which each part may stand somewhere else.
_FIGURES = re.compile(r"\d+(?:[.,:/-]\d+)*")


class CutShort(Exception):
    """An answer that would be longer than it may be, and so is no whole JSON."""

    exit_code = 5
    hint = "--max-tokens N allows a longer one; maxItems and maxLength in the schema ask for less"


def fields_schema(names: Sequence[str]) -> str:
    """The schema of a form: a text for each name, or null."""
    known: dict[str, Any] = {"type": ["string", "null"]}
    return json.dumps(
        {
            "type": "object",
            "properties": dict.fromkeys(names, known),
            "required": list(names),
            "additionalProperties": False,
        },
        ensure_ascii=False,
    )


def extract_each(
    groups: Mapping[str, Sequence[Pack]],
    question: str,
    schema: str,
    *,
    max_tokens: int = 512,
    near: int = BESIDE,
) -> Job:
    """A form for each Document, by its name; one that is too long is told of and left out."""
    data, pieces, missing = dict[str, Any](), list[Piece](), list[str]()

    def form(name: str, packs: Sequence[Pack]) -> Task[Result]:
        try:
            return (yield from _extract(packs, question, schema, max_tokens, near, name))
        except CutShort as error:
            found = Result("ask", (Piece(name, f"{error} ({error.hint})"),))
            yield found.pieces[0]
            return found

    def made(index: int, found: list[Result]) -> list[Piece]:
        data[names[index]] = found[0].data
        pieces.extend(found[0].pieces)
        missing.extend(found[0].missing)
        return []

    names = list(groups)
    yield from together([[form(name, packs)] for name, packs in groups.items()], made)
    counts = {"documents": len(data), "forms": sum(one is not None for one in data.values())}
    known = tuple(dict.fromkeys(missing))
    return Result("ask", tuple(pieces), counts=counts, missing=known, data=data)


def extract(
    packs: Sequence[Pack],
    question: str,
    schema: str,
    *,
    max_tokens: int = 512,
    near: int = BESIDE,
    name: str = "",
) -> Job:
    """What the Packs say, as JSON that follows the schema, a Piece for each value.

    Of several Packs each is asked: what the first leaves null the next may fill in, and lists are
    joined. `near` characters of passages with words of the fields stand beside the form. The `name`
    of what it is for stands before each value.

    Raises:
        CutShort: the answer is longer than `max_tokens`.
    """
    return (yield from _extract(packs, question, schema, max_tokens, near, name))


def _extract(
    packs: Sequence[Pack], question: str, schema: str, max_tokens: int, near: int, name: str
) -> Task[Result]:
    form = json.loads(schema)
    fields = [f"{question} {field}" for field in _fields(form)]
    data: Any = None
    for number, pack in enumerate(packs, 1):
        label = asking(number, len(packs), name)
        text = fill(
            "extract",
            beside=beside(pack, *fields, most=near),
            question=question or QUESTION,
            schema=schema,
        )
        said = yield Question(pack, text, max_tokens, label=label, schema=schema)
        assert said is not None
        try:
            filled = json.loads(said.text)
        except ValueError:
            reason = f"the answer was cut at {max_tokens:,} tokens and is no whole JSON"
            raise CutShort(reason) from None
        data = _joined(data, _emptied(filled, form))
    # words of the schema itself are known, such as those to choose from
    shown = [text for pack in packs for text in pack.unmarked]
    texts = [question, schema, *shown]
    known = {word for one in texts for word in (*words(one), *_FIGURES.findall(one))}
    # each number as it is written
    numbers = {
        number: one for text in shown for one in _NUMBER.findall(text) for number in _readings(one)
    }
    pieces, missing = list[Piece](), list[str]()
    for path, value, others in _values(data):
        body = _said(value)
        citations: tuple[Citation, ...] = ()
        if value is not None and not _is_known(value, known, numbers):
            missing.append(body)
        elif value is not None:
            written = numbers[_size(value)] if _is_number(value) else body
            about = re.sub(r"[\W_]+", " ", path)
            citations = _proof(written, f"{about} {others} {question}", packs)
        heading = f"{name}: {path}" if name and path else name or path or "answer"
        pieces.append(Piece(heading, body, citations=citations))
        yield pieces[-1]
    return Result("ask", tuple(pieces), missing=tuple(dict.fromkeys(missing)), data=data)


def _fields(schema: Any, name: str = "") -> Iterator[str]:
    """What each field of a form is about: its name and what the schema says of it."""
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("items"), dict):
        yield from _fields(schema["items"], name)
    elif schema.get("properties"):
        for key, value in schema["properties"].items():
            yield from _fields(value, f"{name} {key}")
    else:
        yield f"{name} {schema.get('description', '')}"


def _emptied(data: Any, schema: Any) -> Any:
    """The answer with null for a text that only says so, where the schema lets it be null."""
    if not isinstance(schema, dict):
        return data
    if isinstance(data, dict):
        known = schema.get("properties", {})
        return {key: _emptied(value, known.get(key)) for key, value in data.items()}
    if isinstance(data, list):
        return [_emptied(value, schema.get("items")) for value in data]
    may_be_null = any("null" in one.get("type", ()) for one in (schema, *schema.get("anyOf", ())))
    says_so = isinstance(data, str) and data.strip(" .").casefold() in _NOTHING
    return None if may_be_null and says_so else data


def _joined(one: Any, other: Any) -> Any:
    """What two parts say together: the first holds where both say something."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _joined(one.get(key), other.get(key)) for key in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(item for item in other if item not in one)]
    return other if one is None or one == "" else one


def _values(data: Any, path: str = "", beside: str = "") -> Iterator[tuple[str, Any, str]]:
    """The values of an answer, each with its path, `parties[0].name`, and the texts beside it."""
    if isinstance(data, dict):
        # of one of several objects the texts beside a value say which of them it is of
        texts = [value for value in data.values() if isinstance(value, str)] if path else []
        for key, value in data.items():
            yield from _values(value, f"{path}.{key}" if path else key, " ".join(texts))
    elif isinstance(data, list) and data:
        for index, value in enumerate(data):
            yield from _values(value, f"{path}[{index}]", beside)
    else:
        yield path, None if data in ("", []) else data, beside


def _said(value: Any) -> str:
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else json.dumps(value)


def _is_known(value: Any, words_known: set[str], numbers: Collection[Decimal]) -> bool:
    """Whether the text has what is said; true and false are nowhere and always known."""
    if _is_number(value):
        return _size(value) in numbers
    if isinstance(value, bool):
        return True
    return words_known.issuperset((*words(value), *_FIGURES.findall(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(value: float) -> Decimal:
    """A number without its sign, which a text may say in words."""
    return abs(Decimal(str(value)))


def _readings(written: str) -> Iterator[Decimal]:
    """What a written number may mean: 1.250 is one and a quarter here and a thousand there."""
    for point, between in ((".", ","), (",", ".")):
        plain = re.sub(rf"[{between}' ]", "", written).replace(point, ".")
        if plain.count(".") <= 1:
            yield Decimal(plain)


def _proof(body: str, about: str, packs: Sequence[Pack]) -> tuple[Citation, ...]:
    """The sentence that has the value, of the Pack where it is nearest."""
    proofs = [prove(body, about, pack, most=1, verbatim=True) for pack in packs]
    return max(proofs, key=lambda proof: (proof.shared, len(proof.citations))).citations[:1]
