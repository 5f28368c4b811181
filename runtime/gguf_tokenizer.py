"""A GGUF file's vocabulary as the tokenizer files of Hugging Face layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_read import GgufFile
from longctx.runtime.gguf_sentencepiece import sentencepiece_parts

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": use_regex,
    }


def _split(pattern: str) -> list[dict[str, Any]]:
    """Pre-tokenizers that cut the text with `pattern`, then spell its bytes as letters."""
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [cut, _byte_level(use_regex=False)]


_PRE_TOKENIZERS = {
    "qwen2": _split(_QWEN2),
    "llama-bpe": _split(_LLAMA3),
    "smollm": [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)],
    "gpt-2": [_byte_level(use_regex=True)],
}
_ROLES = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
_NORMAL, _USER_DEFINED, _UNUSED, _BYTE = 1, 4, 5, 6
_END_TOKENS = frozenset(
    {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "</s>"}
)


def tokenizer_files(gguf: GgufFile) -> dict[str, Any]:
    """The contents of tokenizer.json, tokenizer_config.json and generation_config.json.

    Raises:
        ModelError: the vocabulary is missing, malformed, or of a kind that is not known here.
    """
    tokens = _tokens(gguf)
    types = _array(gguf, "token_type", len(tokens), default=_NORMAL)
    # unused tokens only pad the embedding: a document that spells one must not reach it
    ids = {token: index for index, token in enumerate(tokens) if types[index] != _UNUSED}
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": bool(types[index] != _USER_DEFINED),
        }
        for token, index in ids.items()
        if types[index] not in (_NORMAL, _BYTE)
    ]
    kind = gguf.metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        parts = _byte_level_parts(gguf, _without_appended(ids, added))
    elif kind == "llama":
        scores = _array(gguf, "scores", len(tokens), default=0.0)
        unknown = _role_token(gguf, "unknown", tokens, ids)
        spaced = gguf.metadata.get("tokenizer.ggml.add_space_prefix") is not False
        parts = sentencepiece_parts(ids, scores, unknown=unknown, space_first=spaced)
    else:
        raise ModelError(
            f"{gguf.path}: tokenizer.ggml.model is {kind!r}; known are gpt2 and llama",
            "take the same model in Hugging Face layout",
        )
    roles = {short: _role_token(gguf, role, tokens, ids) for short, role in _ROLES.items()}
    bos = roles["bos_token"] if _begins_with_bos(gguf) else None
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        **parts,
        "post_processor": _begin_with(bos, ids[bos]) if bos else None,
    }
    _check_loads(gguf, tokenizer)
    ends = {str(entry["content"]) for entry in added if entry["special"]} & _END_TOKENS
    ends |= {token for token in [roles["eos_token"]] if token}
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": _tokenizer_config(gguf, roles, adds_bos=bos is not None),
        "generation_config.json": {
            "bos_token_id": ids.get(roles["bos_token"] or ""),
            "eos_token_id": sorted(ids[token] for token in ends),
        },
    }


def _tokens(gguf: GgufFile) -> list[str]:
    tokens = gguf.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise ModelError(f"{gguf.path}: tokenizer.ggml.tokens is missing")
    if len(set(tokens)) < len(tokens):
        raise ModelError(f"{gguf.path}: tokenizer.ggml.tokens has a token twice")
    embedding = gguf.tensors.get("token_embd.weight")
    if embedding and len(tokens) > embedding.shape[0]:
        raise ModelError(
            f"{gguf.path}: {len(tokens)} tokens, and an embedding of only {embedding.shape[0]}"
        )
    return tokens


def _array(gguf: GgufFile, key: str, length: int, *, default: float) -> NDArray[Any]:
    """The numbers under `key`, one for each token; `default` everywhere if there are none."""
    values = gguf.metadata.get(f"tokenizer.ggml.{key}", np.full(length, default))
    if not isinstance(values, np.ndarray) or len(values) != length:
        raise ModelError(f"{gguf.path}: tokenizer.ggml.{key} is no list of {length} numbers")
    return values


def _role_token(gguf: GgufFile, role: str, tokens: list[str], ids: Mapping[str, int]) -> str | None:
    """The token that the metadata names for a role such as bos; None where it names none in use."""
    key = f"tokenizer.ggml.{role}_token_id"
    index = gguf.metadata.get(key)
    if index is None:
        return None
    if not isinstance(index, int) or not 0 <= index < len(tokens):
        raise ModelError(f"{gguf.path}: {key} is {index!r}; expected less than {len(tokens)}")
    return tokens[index] if tokens[index] in ids else None


def _without_appended(ids: dict[str, int], added: list[dict[str, Any]]) -> dict[str, int]:
    """The vocabulary without the added tokens where they follow it, as model makers publish it."""
    contents = {entry["content"] for entry in added}
    vocabulary = {token: index for token, index in ids.items() if token not in contents}
    follow = range(len(vocabulary), len(vocabulary) + len(added))
    return vocabulary if [entry["id"] for entry in added] == list(follow) else ids


def _byte_level_parts(gguf: GgufFile, vocabulary: dict[str, int]) -> dict[str, Any]:
    """Normalizer, pre-tokenizer, model and decoder of a byte-level BPE vocabulary."""
    is_qwen = str(gguf.metadata.get("general.architecture")).startswith("qwen")
    pre = gguf.metadata.get("tokenizer.ggml.pre", "qwen2" if is_qwen else None)
    if pre not in _PRE_TOKENIZERS:
        raise ModelError(
            f"{gguf.path}: tokenizer.ggml.pre is {pre!r}; known are {', '.join(_PRE_TOKENIZERS)}",
            "take the same model in Hugging Face layout",
        )
    merges = gguf.metadata.get("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise ModelError(f"{gguf.path}: tokenizer.ggml.merges is missing")
    return {
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[str(pre)]},
        "model": {
            "type": "BPE",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre == "llama-bpe",
            "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in merges],
        },
        "decoder": _byte_level(use_regex=False),
    }


def _begins_with_bos(gguf: GgufFile) -> bool:
    """Whether each text begins with the bos token; where the file is silent, as llama.cpp does."""
    metadata = gguf.metadata
    by_kind = metadata["tokenizer.ggml.model"] == "llama"
    by_kind |= metadata.get("tokenizer.ggml.pre") == "llama-bpe"
    return bool(metadata.get("tokenizer.ggml.add_bos_token", by_kind))


def _begin_with(token: str, index: int) -> dict[str, Any]:
    """A post-processor that puts `token` before the text."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    return {
        "type": "TemplateProcessing",
        "single": [first, texts[0]],
        "pair": [first, *texts],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }


def _tokenizer_config(
    gguf: GgufFile, roles: Mapping[str, str | None], *, adds_bos: bool
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": adds_bos,
        **roles,
    }
    window = gguf.metadata.get(f"{gguf.metadata['general.architecture']}.context_length")
    if isinstance(window, int):
        config["model_max_length"] = window
    template = gguf.metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        config["chat_template"] = template
    return config


def _check_loads(gguf: GgufFile, tokenizer: dict[str, Any]) -> None:
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_str(json.dumps(tokenizer))
    # the library raises nothing narrower
    except Exception as error:
        raise ModelError(f"{gguf.path}: the vocabulary does not fit together: {error}") from error
