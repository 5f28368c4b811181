"""A GGUF file's metadata as the `config.json` of the same model in Hugging Face layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_read import GgufFile

_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_TORCH_DTYPES = {"F32": "float32", "F16": "float16"}
_LLAMA3_CONTEXT, _LLAMA3_LOW, _LLAMA3_HIGH = 8192, 1.0, 4.0


def model_config(gguf: GgufFile) -> dict[str, Any]:
    """The `config.json` of the model in `gguf`.

    Raises:
        ModelError: the architecture is not llama, qwen2 or qwen3, a number is missing, or the
            model needs something that these architectures do not have here.
    """
    fields = _Fields(gguf)
    architecture = fields.text("general.architecture")
    if architecture not in _CLASSES:
        raise ModelError(
            f"{gguf.path}: the architecture {architecture!r} is not known; "
            f"known are {', '.join(_CLASSES)}",
            "take the same model in Hugging Face layout, which runs through transformers",
        )
    hidden_size = fields.number("embedding_length")
    num_heads = fields.number("attention.head_count")
    num_kv_heads = fields.number("attention.head_count_kv", num_heads)
    window = fields.number("context_length")
    head_dim = fields.number("attention.key_length", hidden_size // num_heads)
    for key, value in (("attention.value_length", head_dim), ("rope.dimension_count", head_dim)):
        if fields.number(key, value) != value:
            raise fields.fail(key, f"is {fields.number(key)}; expected the head size {value}")
    if num_heads % num_kv_heads or head_dim % 2:
        raise fields.fail(
            "attention.head_count", f"{num_heads} does not fit {num_kv_heads} KV heads"
        )
    if fields.number("attention.sliding_window", window) < window:
        raise fields.fail("attention.sliding_window", "is set; sliding windows are not supported")
    num_layers = fields.number("block_count")
    # every layer has tensors, so their number bounds what is built from this one
    if num_layers > len(gguf.tensors):
        raise fields.fail(
            "block_count", f"is {num_layers} in a file of {len(gguf.tensors)} tensors"
        )
    embedding = gguf.tensors.get("token_embd.weight")
    config: dict[str, Any] = {
        "architectures": [_CLASSES[architecture]],
        "model_type": architecture,
        "hidden_size": hidden_size,
        "intermediate_size": fields.number("feed_forward_length"),
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "vocab_size": embedding.shape[0] if embedding else fields.number("vocab_size"),
        "max_position_embeddings": window,
        "rms_norm_eps": fields.real("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.real("rope.freq_base", 10000.0),
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "torch_dtype": _TORCH_DTYPES.get(embedding.type.name if embedding else "", "bfloat16"),
        "bos_token_id": fields.token("bos"),
        "eos_token_id": fields.token("eos"),
    }
    if architecture != "llama":
        config |= {"use_sliding_window": False, "sliding_window": None}
    if architecture != "qwen2":
        config["attention_bias"] = "blk.0.attn_q.bias" in gguf.tensors
    if architecture == "llama":
        config["mlp_bias"] = "blk.0.ffn_up.bias" in gguf.tensors
    scaling = _rope_scaling(fields, head_dim, config["rope_theta"])
    return config | ({"rope_scaling": scaling} if scaling else {})


class _Fields:
    """The metadata of one architecture, each value checked as it is asked for."""

    def __init__(self, gguf: GgufFile) -> None:
        self.gguf = gguf
        self.prefix = f"{gguf.metadata.get('general.architecture')}."

    def fail(self, key: str, problem: str) -> ModelError:
        return ModelError(f"{self.gguf.path}: {self.prefix}{key} {problem}")

    def text(self, key: str) -> str:
        value = self.gguf.metadata.get(key)
        if not isinstance(value, str):
            raise ModelError(f"{self.gguf.path}: {key} is {value!r}; expected a text")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self.gguf.metadata.get(self.prefix + key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.fail(key, f"is {value!r}; expected a whole number above 0")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self.gguf.metadata.get(self.prefix + key, default)
        if not isinstance(value, float) or not 0 < value < float("inf"):
            raise self.fail(key, f"is {value!r}; expected a number above 0")
        # the shortest decimal that is this float32: 1e-06, not 9.999999974752427e-07
        return float(str(np.float32(value)))

    def token(self, role: str) -> int | None:
        value = self.gguf.metadata.get(f"tokenizer.ggml.{role}_token_id")
        return value if isinstance(value, int) else None


def _rope_scaling(fields: _Fields, head_dim: int, theta: float) -> dict[str, Any] | None:
    """The `rope_scaling` entry: from the metadata, or from Llama 3's table of factors."""
    if "rope_freqs.weight" in fields.gguf.tensors:
        return _llama3_scaling(fields, head_dim, theta)
    kind = fields.gguf.metadata.get(fields.prefix + "rope.scaling.type", "none")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise fields.fail("rope.scaling.type", f"is {kind!r}; expected none, linear or yarn")
    scaling: dict[str, Any] = {"rope_type": kind, "factor": fields.real("rope.scaling.factor")}
    if kind == "yarn":
        key = "rope.scaling.original_context_length"
        scaling["original_max_position_embeddings"] = fields.number(key)
    return scaling


def _llama3_scaling(fields: _Fields, head_dim: int, theta: float) -> dict[str, Any]:
    """Llama 3.1's scaling, of which GGUF keeps only the factor that divides each frequency."""
    tensor = fields.gguf.tensors["rope_freqs.weight"]
    if tensor.type.name != "F32" or tensor.shape != (head_dim // 2,):
        raise fields.fail("rope_freqs.weight", f"has the shape {list(tensor.shape)}")
    stored = fields.gguf.data[tensor.start : tensor.start + tensor.num_bytes].view("<f4")
    # the factor is a short number, kept as float32 quotients
    factor = round(float(stored.max()), 3)
    wavelength = 2 * np.pi * theta ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = (_LLAMA3_CONTEXT / wavelength - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW)
    smooth = np.clip(smooth, 0, 1)
    if not np.allclose(stored, 1 / ((1 - smooth) / factor + smooth), rtol=1e-3):
        raise fields.fail("rope_freqs.weight", "holds other factors than Llama 3's; not supported")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW,
        "high_freq_factor": _LLAMA3_HIGH,
        "original_max_position_embeddings": _LLAMA3_CONTEXT,
    }
