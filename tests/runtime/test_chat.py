import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from longctx.runtime.chat import chat_prompt, chat_template
from longctx.runtime.errors import ModelError
from longctx.runtime.tokenizer import Tokenizer

SYSTEM = "You are careful.\n\nVery careful."
DOCUMENTS = "<doc>\nÉté 中文 {{ messages }} {% raise %}\n</doc>\n\n"
QUESTION = "What is 1 + 1?"

NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
DROPS_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
)
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
MARKS_TRAINING = (
    "{% for m in messages %}[{{ m.role }}]{% generation %}{{ m.content }}{% endgeneration %}"
    "{% endfor %}[assistant]"
)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_dir):
    return Tokenizer.load(tiny_tokenizer_dir)


def with_template(tokenizer, template):
    settings = {**tokenizer.settings, "chat_template": template, "bos_token": "<|endoftext|>"}
    return replace(tokenizer, settings=settings)


def ask(tokenizer, system=SYSTEM, documents=DOCUMENTS, question=QUESTION, begin=""):
    return chat_prompt(
        tokenizer, system=system, documents=documents, question=question, begin=begin
    )


def whole(prompt):
    return [*prompt.prefix_ids, *prompt.question_ids]


def theirs(tokenizer, template, messages):
    from transformers import AutoTokenizer

    their_tokenizer = AutoTokenizer.from_pretrained(tokenizer.directory)
    their_tokenizer.bos_token = "<|endoftext|>"
    text = their_tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=False,
    )
    return their_tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("system", [SYSTEM, ""])
@pytest.mark.parametrize("template", [None, THINKS, MARKS_TRAINING])
def test_equal_to_what_transformers_makes_of_the_template(tokenizer, template, system):
    if template:
        tokenizer = with_template(tokenizer, template)
    user = {"role": "user", "content": DOCUMENTS + QUESTION}
    messages = [{"role": "system", "content": system}, user] if system else [user]
    prompt = ask(tokenizer, system=system)
    assert prompt.has_template
    assert whole(prompt) == theirs(tokenizer, chat_template(tokenizer), messages)


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM])
def test_without_a_system_role_the_user_says_it(tokenizer, template):
    tokenizer = with_template(tokenizer, template)
    content = f"{SYSTEM}\n\n{DOCUMENTS}{QUESTION}"
    prompt = ask(tokenizer)
    assert prompt.has_template
    assert whole(prompt) == theirs(tokenizer, template, [{"role": "user", "content": content}])


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].content | upper }}",
        "{{ messages[-1].content }}{{ messages[-1].content }}",
        "{{ raise_exception('no') }}",
        "{{ messages[0].content.missing.more }}",
        "{{ 1 / 'a' }}",
        "{{ ''.__class__.__mro__ }}",
        "nothing at all",
    ],
)
def test_a_template_that_cannot_carry_the_texts_gives_way_to_plain_text(tokenizer, template):
    tokenizer = with_template(tokenizer, template)
    prompt = ask(tokenizer, begin="It is")
    assert not prompt.has_template
    assert tokenizer.decode(prompt.prefix_ids) == f"{SYSTEM}\n\n{DOCUMENTS}"
    assert tokenizer.decode(prompt.question_ids) == f"{QUESTION}\n\nIt is"


def test_plain_text_opens_as_the_tokenizer_does(tokenizer):
    specials = replace(tokenizer.specials, opening_ids=(508,))
    plain = replace(with_template(tokenizer, None), specials=specials)
    assert ask(plain).prefix_ids[0] == 508
    assert ask(plain).prefix_ids[1:] == ask(with_template(tokenizer, None)).prefix_ids
    assert 508 not in ask(replace(tokenizer, specials=specials)).prefix_ids


def test_the_prefix_is_the_same_for_every_question(tokenizer):
    first, second = ask(tokenizer), ask(tokenizer, question="Why?", begin="Because")
    assert first.prefix_ids == second.prefix_ids
    assert tokenizer.decode(first.prefix_ids).endswith("user\n" + DOCUMENTS)
    assert tokenizer.decode(second.question_ids) == (
        "Why?<|im_end|>\n<|im_start|>assistant\nBecause"
    )


@pytest.mark.parametrize("template", [None, THINKS, "{{ messages[0].content[:3] }}"])
def test_a_turn_begins_with_the_one_before_and_its_answer(tokenizer, template):
    tokenizer = with_template(tokenizer, template) if template else tokenizer
    first = ask(tokenizer)
    both = {"tokenizer": tokenizer, "system": SYSTEM, "documents": DOCUMENTS}
    second = chat_prompt(**both, question="Why?", turns=[(QUESTION, "2, surely.")])
    third = chat_prompt(**both, question="So?", turns=[(QUESTION, "2, surely."), ("Why?", "It is")])
    assert first.prefix_ids == second.prefix_ids == third.prefix_ids
    assert second.ids[: len(first.ids)] == first.ids
    assert third.ids[: len(second.ids)] == second.ids
    between = "\n\n" if template and not first.has_template else "<|im_end|>\n<|im_start|>user\n"
    rest = tokenizer.decode(second.question_ids[len(first.question_ids) :])
    assert rest.startswith(f"2, surely.{between}Why?")


def test_no_text_smuggles_in_a_special_token(tokenizer):
    tokens = "".join(tokenizer.specials.ids)
    honest = ask(tokenizer, "s", "d", "q", "b")
    forged = ask(tokenizer, f"s{tokens}", f"d{tokens}", f"q{tokens}", f"b{tokens}")
    specials = set(tokenizer.specials.ids.values())
    assert [id for id in whole(forged) if id in specials] == [
        id for id in whole(honest) if id in specials
    ]
    assert tokenizer.decode(whole(forged)).count(tokens) == 4


def test_the_marks_of_the_frame_may_stand_in_the_texts(tokenizer):
    from longctx.runtime import chat

    text = "".join(chat._MARKS)
    prompt = ask(tokenizer, text, text, text)
    assert tokenizer.decode(whole(prompt)).count(text) == 3


def test_the_clock_of_a_template_stands_still(tokenizer):
    template = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    text = tokenizer.decode(ask(with_template(tokenizer, template)).prefix_ids)
    assert text.startswith("2024-07-26[You are")


def test_json_in_a_template_is_not_escaped_for_the_web(tokenizer):
    template = "{{ {'a': '<é>'} | tojson }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    text = tokenizer.decode(ask(with_template(tokenizer, template)).prefix_ids)
    assert text.startswith('{"a": "<é>"}[')


def test_a_malformed_template_is_a_clear_error(tokenizer):
    with pytest.raises(ModelError, match="chat template has an error in line 2"):
        ask(with_template(tokenizer, "fine\n{% if %}"))


def test_a_template_file_goes_before_the_settings(tiny_tokenizer_dir, tmp_path):
    directory = Path(shutil.copytree(tiny_tokenizer_dir, tmp_path / "model"))
    (directory / "chat_template.jinja").write_text("[{{ messages[0].content }}]é")
    assert chat_template(Tokenizer.load(directory)) == "[{{ messages[0].content }}]é"


def test_of_several_templates_the_default_is_taken(tiny_tokenizer_dir, tmp_path):
    directory = Path(shutil.copytree(tiny_tokenizer_dir, tmp_path / "model"))
    templates = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert chat_template(Tokenizer.load(directory)) == "d"
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates[:1]}))
    assert chat_template(Tokenizer.load(directory)) is None


@pytest.mark.real_model
@pytest.mark.parametrize("system", [SYSTEM, ""])
def test_the_real_template_equals_transformers(real_model_dir, system):
    from transformers import AutoTokenizer

    directory = real_model_dir("qwen2.5-coder-0.5b")
    user = {"role": "user", "content": DOCUMENTS + QUESTION}
    messages = [{"role": "system", "content": system}, user] if system else [user]
    text = AutoTokenizer.from_pretrained(directory).apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False
    )
    ours = Tokenizer.load(directory)
    assert whole(ask(ours, system=system)) == ours.encode_with_specials(text)
