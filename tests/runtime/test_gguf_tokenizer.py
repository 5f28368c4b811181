import json
from pathlib import Path

import numpy as np
import pytest

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_read import GgufFile
from longctx.runtime.gguf_tokenizer import tokenizer_files

TEXTS = [
    "The price is 1234567, don't WE'LL pay\n\n\n  it?\t\t x",
    "naïve cafe\u0301 你好，世界 😀 \u200b a\u00a0b",
    "<|im_start|>user\nhi<|im_end|>",
    "def f(x):\r\n    return x ** 2  \n",
    "",
]


def byte_level_metadata(pre="qwen2", **changes):
    """A vocabulary of every byte, a few merges and three special tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = ["t h", "th e", "1 2", "12 3", "Ġ d", "o n", "\u010a \u010a"]
    joined = [merge.replace(" ", "") for merge in merges]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*letters, *joined, *special, "<tool>", "[PAD0]"]
    kinds = [1] * (len(letters) + len(joined)) + [3, 3, 3, 4, 5]
    metadata = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.chat_template": "{{ messages }}",
    }
    changes = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    merged = metadata | changes
    return {key: value for key, value in merged.items() if value is not None}


def files_of(metadata):
    return tokenizer_files(GgufFile(Path("m.gguf"), metadata, {}, np.empty(0, np.uint8)))


def load(files):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(files["tokenizer.json"]))


@pytest.mark.parametrize("pre", ["qwen2", "llama-bpe", "smollm", "gpt-2"])
def test_text_survives(pre):
    import unicodedata

    tokenizer = load(files_of(byte_level_metadata(pre, add_bos_token=False)))
    for text in TEXTS:
        expected = unicodedata.normalize("NFC", text) if pre == "qwen2" else text
        ids = tokenizer.encode(text).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == expected


@pytest.mark.parametrize(
    "pre, pieces",
    [
        ("qwen2", ["1", "2", "3", "4", "Ġd", "on", "'", "t"]),
        ("llama-bpe", ["123", "4", "Ġd", "on", "'", "t"]),
        ("smollm", ["1", "2", "3", "4", "Ġd", "on", "'", "t"]),
        ("gpt-2", ["123", "4", "Ġd", "on", "'", "t"]),
    ],
)
def test_text_is_cut_as_the_model_was_trained(pre, pieces):
    tokenizer = load(files_of(byte_level_metadata(pre, add_bos_token=False)))
    assert tokenizer.encode("1234 don't").tokens == pieces


def test_special_tokens_are_one_id_and_padding_is_none():
    files = files_of(byte_level_metadata("qwen2"))
    tokenizer = load(files)
    assert tokenizer.encode("<|im_end|>").tokens == ["<|im_end|>"]
    assert tokenizer.encode("<tool>").tokens == ["<tool>"]
    assert len(tokenizer.encode("[PAD0]").ids) == 6
    assert [added["special"] for added in files["tokenizer.json"]["added_tokens"]] == [
        True,
        True,
        True,
        False,
    ]
    ids = [tokenizer.token_to_id(token) for token in ("<|endoftext|>", "<|im_end|>")]
    assert files["generation_config.json"]["eos_token_id"] == ids
    assert files["tokenizer_config.json"]["chat_template"] == "{{ messages }}"
    assert files["tokenizer_config.json"]["eos_token"] == "<|im_end|>"


@pytest.mark.parametrize(
    "pre, says, begins",
    [
        ("llama-bpe", None, True),
        ("llama-bpe", False, False),
        ("qwen2", None, False),
        ("qwen2", True, True),
    ],
)
def test_text_begins_with_bos_where_the_model_wants_it(pre, says, begins):
    tokenizer = load(files_of(byte_level_metadata(pre, add_bos_token=says)))
    assert (tokenizer.encode("a").tokens[0] == "<|endoftext|>") is begins


def test_ids_hold_where_special_tokens_come_first():
    metadata = byte_level_metadata("smollm")
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    metadata["tokenizer.ggml.tokens"] = tokens[-5:] + tokens[:-5]
    metadata["tokenizer.ggml.token_type"] = np.roll(kinds, 5)
    metadata["tokenizer.ggml.eos_token_id"] = 2
    metadata["tokenizer.ggml.bos_token_id"] = 0
    tokenizer = load(files_of(metadata))
    assert tokenizer.encode("<|im_end|>").ids == [2]
    assert tokenizer.encode("the").ids == [metadata["tokenizer.ggml.tokens"].index("the")]


SPACE = "\u2581"


def sentencepiece_metadata(**changes):
    words = [SPACE, "t", "h", "e", "c", "a", "th", "the", SPACE + "the", "ca", "cat", SPACE + "cat"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(words)]
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(words))]
    metadata = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    return metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}


def test_sentencepiece_vocabulary():
    files = files_of(sentencepiece_metadata())
    tokenizer = load(files)
    encoded = tokenizer.encode("the cat 你")
    assert encoded.tokens[:4] == ["<s>", SPACE + "the", SPACE + "cat", SPACE]
    assert encoded.tokens[4:] == ["<0xE4>", "<0xBD>", "<0xA0>"]
    assert tokenizer.decode(encoded.ids) == "the cat 你"
    assert files["generation_config.json"]["eos_token_id"] == [2]


def test_sentencepiece_without_the_first_space():
    tokenizer = load(files_of(sentencepiece_metadata(add_space_prefix=False, add_bos_token=False)))
    assert tokenizer.encode("the cat").tokens == ["the", SPACE + "cat"]
    assert tokenizer.decode(tokenizer.encode(" the cat").ids) == " the cat"


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"model": "bert"}, "tokenizer.ggml.model is 'bert'; known are gpt2 and llama"),
        ({"model": None}, "tokenizer.ggml.model is None"),
        ({"pre": "gigachat"}, "tokenizer.ggml.pre is 'gigachat'; known are qwen2"),
        ({"merges": None}, "tokenizer.ggml.merges is missing"),
        ({"merges": ["no such"]}, "does not fit together"),
        ({"merges": ["t"]}, "does not fit together"),
        ({"tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"tokens": []}, "tokenizer.ggml.tokens is missing"),
        ({"tokens": ["a", "a"]}, "has a token twice"),
        ({"token_type": np.ones(3, np.int32)}, "token_type is no list of"),
        ({"eos_token_id": 99_999}, "eos_token_id is 99999; expected less than"),
        ({"bos_token_id": -1}, "bos_token_id is -1"),
    ],
)
def test_malformed_vocabulary_is_named(changes, expected):
    with pytest.raises(ModelError, match=r"^m\.gguf: ") as caught:
        files_of(byte_level_metadata(**changes))
    assert expected in str(caught.value)


def test_more_tokens_than_the_embedding_has_are_refused():
    from longctx.runtime.gguf_read import BLOCK_TYPES, GgufTensor

    tensor = GgufTensor("token_embd.weight", (9, 4), BLOCK_TYPES[0], 0, 144)
    gguf = GgufFile(
        Path("m.gguf"), byte_level_metadata(), {tensor.name: tensor}, np.empty(0, np.uint8)
    )
    with pytest.raises(ModelError, match="an embedding of only 9"):
        tokenizer_files(gguf)


def test_unused_token_has_no_role():
    files = files_of(byte_level_metadata(padding_token_id=267))
    assert byte_level_metadata()["tokenizer.ggml.tokens"][267] == "[PAD0]"
    assert files["tokenizer_config.json"]["pad_token"] is None
