"""A tiny random model, and prompts for it that begin alike."""

import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file

HIDDEN, LAYERS, HEADS, GROUPS, MLP, VOCABULARY, WINDOW = 32, 2, 4, 2, 64, 300, 8_192
DOCUMENT, TOTAL, COMMON = 3_300, 3_340, 1_500


def tiny_model(directory: Path) -> Path:
    """Returns the directory, with a random model of the Qwen2 architecture in it."""
    config = {
        "model_type": "qwen2",
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "vocab_size": VOCABULARY,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "max_position_embeddings": WINDOW,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(0)
    head = HIDDEN // HEADS

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns) * columns**-0.5

    weights = {
        "model.embed_tokens.weight": torch.randn(VOCABULARY, HIDDEN),
        "model.norm.weight": torch.ones(HIDDEN),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        weights |= {
            name + "input_layernorm.weight": torch.ones(HIDDEN),
            name + "post_attention_layernorm.weight": torch.ones(HIDDEN),
            name + "self_attn.q_proj.weight": 3 * matrix(HIDDEN, HIDDEN),
            name + "self_attn.k_proj.weight": 3 * matrix(GROUPS * head, HIDDEN),
            name + "self_attn.v_proj.weight": matrix(GROUPS * head, HIDDEN),
            name + "self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            name + "mlp.gate_proj.weight": matrix(MLP, HIDDEN),
            name + "mlp.up_proj.weight": matrix(MLP, HIDDEN),
            name + "mlp.down_proj.weight": matrix(HIDDEN, MLP),
        }
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def prompt(seed: int) -> list[int]:
    """Returns a prompt that shares its first 1,500 tokens with every other."""
    common, own = random.Random(0), random.Random(seed)
    return [common.randrange(VOCABULARY) for _ in range(COMMON)] + [
        own.randrange(VOCABULARY) for _ in range(TOTAL - COMMON)
    ]
