"""ModelConfig: what `config.json` says of a model, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longctx.runtime.errors import ModelError

ARCHITECTURES = ("qwen2", "qwen3", "llama")
ROPE_KINDS = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a decoder; lengths in tokens.

    `native_window` is what it was trained for, `window` what it reads as its makers stretch it:
    with `dual_chunk`, its Chunk and local sizes, or with a rope_scaling of type "yarn".
    """

    architecture: str
    num_layers: int
    hidden_size: int
    mlp_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    norm_eps: float
    rope_theta: float
    rope_scaling: Mapping[str, Any] = field(default_factory=dict)
    native_window: int = 32_768
    tied_head: bool = False
    window: int = 32_768
    dual_chunk: tuple[int, int] | None = None

    def cache_bytes_per_token(self, item_bytes: int) -> int:
        """Returns the bytes of keys and values that one token leaves behind."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * item_bytes


def load_config(directory: Path) -> ModelConfig:
    """Returns the ModelConfig in `directory`.

    Raises:
        ModelError: no readable `config.json`, or a value that no decoder can have.
    """
    raw = read_json(directory / "config.json")
    try:
        rope = _rope(raw)
        config = ModelConfig(
            architecture=str(raw.get("model_type")),
            num_layers=int(raw["num_hidden_layers"]),
            hidden_size=int(raw["hidden_size"]),
            mlp_size=int(raw["intermediate_size"]),
            num_heads=int(raw["num_attention_heads"]),
            num_kv_heads=int(raw.get("num_key_value_heads") or raw["num_attention_heads"]),
            head_dim=int(raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"]),
            vocab_size=int(raw["vocab_size"]),
            norm_eps=float(raw["rms_norm_eps"]),
            rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            rope_scaling=rope,
            native_window=_native_window(raw, rope),
            tied_head=bool(raw.get("tie_word_embeddings", False)),
            window=_window(raw, rope),
            dual_chunk=_dual_chunk(raw),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{directory / 'config.json'}: {_complaint(error)}") from error
    _check(config, directory)
    return config


def foreign_reason(directory: Path) -> str | None:
    """Returns why the own decoder cannot run the model in `directory`; None when it can."""
    raw = read_json(directory / "config.json")
    if raw.get("model_type") not in ARCHITECTURES:
        return f"architecture {raw.get('model_type')!r} is not one of {', '.join(ARCHITECTURES)}"
    rope = _rope(raw)
    kind = rope_kind(rope)
    if kind not in ROPE_KINDS:
        return f"rope type {kind!r} is not one of {', '.join(ROPE_KINDS)}"
    if rope.get("mscale") or rope.get("mscale_all_dim"):
        return "a YaRN with mscale is not read by the own decoder"
    if raw.get("use_sliding_window") or "quantization_config" in raw:
        return "sliding windows and quantized checkpoints are not read by the own decoder"
    if raw.get("mlp_bias") or raw.get("hidden_act", "silu") != "silu":
        return "only SwiGLU without biases is read by the own decoder"
    return None


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file of a model.

    Raises:
        ModelError: the file is missing, is not JSON, or holds something else than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def rope_kind(rope: Mapping[str, Any]) -> str:
    """Returns the type of a rope_scaling, under its new name or its old one."""
    return str(rope.get("rope_type", rope.get("type", "default")))


def _rope(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the rope_scaling; where YaRN does not say what it stretches, it is the window."""
    rope = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    if rope_kind(rope) == "yarn" and not rope.get("original_max_position_embeddings"):
        rope["original_max_position_embeddings"] = int(raw["max_position_embeddings"])
    return rope


def _native_window(raw: Mapping[str, Any], rope: Mapping[str, Any]) -> int:
    chunks = raw.get("dual_chunk_attention_config") or {}
    stretched = rope if rope_kind(rope) == "yarn" else {}
    trained = chunks.get("original_max_position_embeddings") or stretched.get(
        "original_max_position_embeddings"
    )
    return int(trained or raw["max_position_embeddings"])


def _window(raw: Mapping[str, Any], rope: Mapping[str, Any]) -> int:
    stated = int(raw["max_position_embeddings"])
    if rope_kind(rope) != "yarn":
        return stated
    return max(stated, int(rope["original_max_position_embeddings"] * float(rope["factor"])))


def _dual_chunk(raw: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns the Chunk and local sizes, None for a model without Dual Chunk Attention."""
    chunks = raw.get("dual_chunk_attention_config")
    if not chunks:
        return None
    chunk_size, local_size = int(chunks["chunk_size"]), int(chunks["local_size"])
    # a larger local_size would reach over more than one Chunk
    if not 0 < local_size <= chunk_size // 2:
        raise ValueError(
            f"dual_chunk_attention_config: local_size is {local_size}, expected 1 to "
            f"{chunk_size // 2}, half of chunk_size"
        )
    return chunk_size, local_size


def _complaint(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return str(error)


def _check(config: ModelConfig, directory: Path) -> None:
    sizes = ("num_layers", "hidden_size", "mlp_size", "num_heads", "num_kv_heads", "head_dim")
    for name in (*sizes, "vocab_size", "native_window"):
        if getattr(config, name) < 1:
            raise ModelError(f"{directory}: {name} is {getattr(config, name)}, expected 1 or more")
    if config.num_heads % config.num_kv_heads or config.head_dim % 2:
        raise ModelError(
            f"{directory}: {config.num_heads} heads of {config.head_dim} do not divide into "
            f"{config.num_kv_heads} KV heads of even size"
        )
