"""Turns a GGUF file into a directory in Hugging Face layout, its blocks dequantized once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_config import model_config
from longctx.runtime.gguf_read import GgufFile, GgufTensor, read_gguf
from longctx.runtime.gguf_tokenizer import tokenizer_files
from longctx.runtime.safetensors_file import TensorStream, write_safetensors

_STORED_AS_IS = ("F32", "F16", "BF16")
_PART_ELEMENTS = 1 << 20
_NUM_THREADS = 4


def convert_gguf(source: Path, target: Path, *, progress: Callable[[str, int, int], None]) -> None:
    """Write the model of the GGUF file `source` into the existing directory `target`.

    Quantized tensors become bfloat16, rounded to nearest even; the others stay what they are.
    At most a few million elements are in memory at a time.

    Raises:
        ModelError: the file is malformed or holds a model that is not known here.
    """
    gguf = read_gguf(source)
    config = model_config(gguf)
    files = {"config.json": config, **tokenizer_files(gguf)}
    names = _tensor_names(gguf, config)
    done = 0

    def parts(tensor: GgufTensor, num_heads: int) -> Iterator[NDArray[Any]]:
        nonlocal done
        for part in _parts(gguf, tensor, num_heads):
            yield part
            done += part.nbytes
            progress("convert", done, total)

    streams = [
        TensorStream(
            name,
            tensor.type.name if tensor.type.name in _STORED_AS_IS else "BF16",
            tensor.shape,
            partial(parts, tensor, _paired_heads(tensor.name, config)),
        )
        for tensor, name in ((gguf.tensors[key], name) for key, name in names.items())
    ]
    total = sum(stream.num_bytes for stream in streams)
    write_safetensors(target / "model.safetensors", streams)
    for filename, content in files.items():
        with (target / filename).open("w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())


def _tensor_names(gguf: GgufFile, config: dict[str, Any]) -> dict[str, str]:
    """The Hugging Face name of each tensor, after checking that all are there and of one shape."""
    expected = _expected_tensors(config)
    for name, (_, shape) in expected.items():
        if name not in gguf.tensors:
            raise ModelError(f"{gguf.path}: tensor {name!r} is missing")
        if gguf.tensors[name].shape != shape:
            found = list(gguf.tensors[name].shape)
            raise ModelError(f"{gguf.path}: tensor {name!r} is {found}; expected {list(shape)}")
    unknown = sorted(gguf.tensors.keys() - expected.keys() - {"rope_freqs.weight"})
    if unknown:
        raise ModelError(
            f"{gguf.path}: {len(unknown)} tensors are not those of a {config['model_type']} model, "
            f"such as {unknown[0]!r}"
        )
    return {name: hf_name for name, (hf_name, _) in expected.items()}


def _expected_tensors(config: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """For each GGUF name of the model: the Hugging Face name and the shape."""
    hidden, middle, vocab = (
        config[key] for key in ("hidden_size", "intermediate_size", "vocab_size")
    )
    query = config["num_attention_heads"] * config["head_dim"]
    key_value = config["num_key_value_heads"] * config["head_dim"]
    qkv_bias = config.get("attention_bias", config["model_type"] == "qwen2")
    output_bias, mlp_bias = config.get("attention_bias"), config.get("mlp_bias")
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {
        "token_embd.weight": ("model.embed_tokens.weight", (vocab, hidden)),
        "output_norm.weight": ("model.norm.weight", (hidden,)),
    }
    if not config["tie_word_embeddings"]:
        tensors["output.weight"] = ("lm_head.weight", (vocab, hidden))
    projections = (
        ("attn_q", "self_attn.q_proj", query, hidden, qkv_bias),
        ("attn_k", "self_attn.k_proj", key_value, hidden, qkv_bias),
        ("attn_v", "self_attn.v_proj", key_value, hidden, qkv_bias),
        ("attn_output", "self_attn.o_proj", hidden, query, output_bias),
        ("ffn_gate", "mlp.gate_proj", middle, hidden, mlp_bias),
        ("ffn_up", "mlp.up_proj", middle, hidden, mlp_bias),
        ("ffn_down", "mlp.down_proj", hidden, middle, mlp_bias),
    )
    norms = [
        ("attn_norm", "input_layernorm", hidden),
        ("ffn_norm", "post_attention_layernorm", hidden),
    ]
    if config["model_type"] == "qwen3":
        norms += [
            ("attn_q_norm", "self_attn.q_norm", config["head_dim"]),
            ("attn_k_norm", "self_attn.k_norm", config["head_dim"]),
        ]
    for layer in range(config["num_hidden_layers"]):
        short, long = f"blk.{layer}.", f"model.layers.{layer}."
        for name, hf_name, width in norms:
            tensors[f"{short}{name}.weight"] = (f"{long}{hf_name}.weight", (width,))
        for name, hf_name, rows, columns, bias in projections:
            tensors[f"{short}{name}.weight"] = (f"{long}{hf_name}.weight", (rows, columns))
            if bias:
                tensors[f"{short}{name}.bias"] = (f"{long}{hf_name}.bias", (rows,))
    return tensors


def _paired_heads(name: str, config: dict[str, Any]) -> int:
    """How many heads have their rotary pairs side by side in this tensor; 0 where none has."""
    if config["model_type"] != "llama":
        return 0
    if ".attn_q." in name:
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if ".attn_k." in name else 0


def _parts(gguf: GgufFile, tensor: GgufTensor, num_heads: int) -> Iterator[NDArray[Any]]:
    """The tensor's elements in order, as stored in safetensors, some whole rows at a time.

    llama.cpp rotates neighbouring rows of Q and K where Hugging Face rotates rows that lie half
    a head apart, so its files hold the rows of each of `num_heads` heads interleaved.
    """
    num_rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    raw = gguf.data[tensor.start : tensor.start + tensor.num_bytes].reshape(num_rows, -1)
    if num_heads:
        size = tensor.shape[0] // num_heads
        order = np.arange(tensor.shape[0]).reshape(num_heads, size // 2, 2).swapaxes(1, 2).ravel()
        raw = raw.reshape(tensor.shape[0], -1)[order]
    rows = max(1, _PART_ELEMENTS // tensor.shape[-1])
    pieces = [raw[start : start + rows] for start in range(0, len(raw), rows)]
    if tensor.type.name in _STORED_AS_IS:
        yield from pieces
        return
    # numpy lets go of the interpreter, so the threads share the work
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for start in range(0, len(pieces), _NUM_THREADS):
            yield from pool.map(
                partial(_bfloat16, gguf.path, tensor), pieces[start : start + _NUM_THREADS]
            )


def _bfloat16(path: Path, tensor: GgufTensor, raw: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The bits of the dequantized rows in bfloat16, rounded to nearest even."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    with np.errstate(invalid="ignore", over="ignore"):
        values = dequantize(raw, GGMLQuantizationType[tensor.type.name])
    if not np.isfinite(values).all():
        raise ModelError(f"{path}: tensor {tensor.name!r} holds values that are not finite")
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16)
