"""A question on documents as the prompt that a model's chat template makes of it.

The template is rendered once with marks in place of the texts and cut at the marks. So document
text is never read as template text, and every question on the same documents has the same prefix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from longctx.runtime.errors import ModelError
from longctx.runtime.tokenizer import Tokenizer, token_text

_MARKS = _SYSTEM, _DOCUMENTS, _QUESTION = "XqSYSTEMqX", "XqDOCUMENTSqX", "XqQUESTIONqX"
_ANSWER = "XqANSWERqX"
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")
# A prompt that changed with the day would make every stored prefix worthless the day after.
_TODAY = datetime(2024, 7, 26)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt: the same `prefix_ids` for all questions on the same documents.

    `has_template` is False where the model has no chat template that can carry the texts, and the
    prompt is plain text.
    """

    prefix_ids: list[int]
    question_ids: list[int]
    has_template: bool

    @property
    def ids(self) -> list[int]:
        """The whole prompt."""
        return [*self.prefix_ids, *self.question_ids]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The template's own text: before the system text, before the documents, after the question."""

    opening: str
    middle: str
    closing: str
    has_template: bool = True


_PLAIN = _Frame(opening="", middle="\n\n", closing="\n\n", has_template=False)


def chat_prompt(
    tokenizer: Tokenizer,
    *,
    system: str,
    documents: str,
    question: str,
    begin: str = "",
    turns: Sequence[tuple[str, str]] = (),
) -> Prompt:
    """The Prompt of a question; `begin` is the opening of the answer, as if already said.

    `turns` are the questions and answers before it, oldest first. They follow the documents in
    order, so that the Prompt of each turn begins with the whole of the last one and its answer. A
    template without a system role has the system text at the head of the user's turn.

    Raises:
        ModelError: the chat template is malformed.
    """
    frame = _frame(tokenizer, with_system=bool(system))
    between = _between(tokenizer) if turns and frame.has_template else "\n\n"
    said: list[tuple[str, bool]] = []
    for asked, answered in turns:
        said += [(asked, False), (frame.closing, True), (answered, False), (between, True)]
    texts = [*said, (question, False), (frame.closing, True), (begin, False)]
    return Prompt(
        prefix_ids=list(_prefix_ids(tokenizer, frame, system, documents)),
        question_ids=_encode(tokenizer, texts),
        has_template=frame.has_template,
    )


# Many questions in a row go to the same documents.
@lru_cache(maxsize=2)
def _prefix_ids(
    tokenizer: Tokenizer, frame: _Frame, system: str, documents: str
) -> tuple[int, ...]:
    texts = [(frame.opening, True), (system, False), (frame.middle, True), (documents, False)]
    ids = _encode(tokenizer, texts)
    return tuple(ids) if frame.has_template else (*tokenizer.specials.opening_ids, *ids)


def _encode(tokenizer: Tokenizer, texts: Iterable[tuple[str, bool]]) -> list[int]:
    """The ids of texts in a row; those marked True are the template's, with special tokens.

    What lies between two special tokens is encoded in one go, as `transformers` does.
    """
    ids: list[int] = []
    ordinary = ""
    for text, of_template in texts:
        for part in tokenizer.specials.split(text) if of_template else [text]:
            if isinstance(part, str):
                ordinary += part
            else:
                ids += [*tokenizer.encode(ordinary), part]
                ordinary = ""
    return ids + tokenizer.encode(ordinary)


@lru_cache(maxsize=8)
def _frame(tokenizer: Tokenizer, *, with_system: bool) -> _Frame:
    """The template cut at the marks: with a system turn, or folded into the user's, or plain."""
    template = chat_template(tokenizer)
    if template is None:
        return _PLAIN
    render = _renderer(template, tokenizer)
    user = _DOCUMENTS + _QUESTION
    if not with_system:
        return _cut(render([_turn("user", _SYSTEM + user)])) or _PLAIN
    return (
        _cut(render([_turn("system", _SYSTEM), _turn("user", user)]))
        or _cut(render([_turn("user", f"{_SYSTEM}\n\n{user}")]))
        or _PLAIN
    )


@lru_cache(maxsize=8)
def _between(tokenizer: Tokenizer) -> str:
    """What the template puts between an answer and the next question; a blank line if nothing."""
    template = chat_template(tokenizer)
    assert template is not None, "a frame of a template without one"
    rendered = _renderer(template, tokenizer)(
        [_turn("user", _DOCUMENTS), _turn("assistant", _ANSWER), _turn("user", _QUESTION)]
    )
    if rendered is None or rendered.count(_ANSWER) != 1 or rendered.count(_QUESTION) != 1:
        return "\n\n"
    return rendered.partition(_ANSWER)[2].partition(_QUESTION)[0]


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _cut(rendered: str | None) -> _Frame | None:
    """The rendered template between its marks, None unless it has each once and in order."""
    if rendered is None or any(rendered.count(mark) != 1 for mark in _MARKS):
        return None
    opening, rest = rendered.split(_SYSTEM)
    middle, found, closing = rest.partition(_DOCUMENTS + _QUESTION)
    return _Frame(opening, middle, closing) if found else None


def chat_template(tokenizer: Tokenizer) -> str | None:
    """The chat template of the tokenizer's directory, None where it has none."""
    path = tokenizer.directory / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = tokenizer.settings.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _renderer(template: str, tokenizer: Tokenizer) -> Callable[[list[dict[str, str]]], str | None]:
    """A function from messages to text, or to None where the template refuses them.

    The environment is the one `transformers` gives its templates, but for the clock.
    """
    from jinja2 import TemplateError, TemplateSyntaxError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The `generation` tag, which marks text for training and shows its content."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = _TODAY.strftime
    try:
        compiled = environment.from_string(template)
    except TemplateSyntaxError as error:
        raise ModelError(
            f"{tokenizer.directory}: the chat template has an error in line {error.lineno}: {error}"
        ) from error
    tokens = {name: token_text(tokenizer.settings.get(name)) for name in _TOKEN_NAMES}

    def render(messages: list[dict[str, str]]) -> str | None:
        try:
            return compiled.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                enable_thinking=False,
                **{name: text for name, text in tokens.items() if text is not None},
            )
        # Whatever a template trips over, it cannot carry these messages.
        except (TemplateError, TypeError, ValueError, LookupError):
            return None

    return render


def _to_json(value: Any, *, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)
