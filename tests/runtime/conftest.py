"""A tiny model with room, and GGUF files written the way llama.cpp's converter writes them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Several Steps, and several nodes of a stored Prefix.
WINDOW = 8_192

# Of the keys' bias, beside keys that a product makes about 1 long in each place.
BIAS = 100.0

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    stem, suffix = name.rsplit(".", 1)
    layer = re.match(r"model\.layers\.(\d+)\.(.*)", stem)
    return f"blk.{layer[1]}.{NAMES[layer[2]]}.{suffix}" if layer else f"{NAMES[stem]}.{suffix}"


def interleaved(array, num_heads):
    """The rows of each head as llama.cpp rotates them: halves woven together."""
    halves = array.reshape(num_heads, 2, -1, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def add_tokenizer(writer, directory, pre):
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokens = {index: (token, 1) for token, index in tokenizer["model"]["vocab"].items()}
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = (added["content"], 3 if added["special"] else 4)
    ordered = [tokens[index] for index in range(len(tokens))]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([token for token, _ in ordered])
    writer.add_token_types([kind for _, kind in ordered])
    writer.add_token_merges(merges)
    ids = {token: index for index, (token, _) in enumerate(ordered)}
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_chat_template(
        json.loads((directory / "tokenizer_config.json").read_text())["chat_template"]
    )


@pytest.fixture(scope="session")
def steps_of():
    """A function that gives a list which grows by the size of every Step that an Engine reads."""

    def sizes_of(engine):
        sizes, read = [], engine.reader.read

        def count(token_ids, on_part, *, dense):
            sizes.append(len(token_ids))
            return read(token_ids, on_part, dense=dense)

        engine.reader.read = count
        return sizes

    return sizes_of


@pytest.fixture(scope="session")
def write_gguf():
    """A function that leaves the model of a Hugging Face directory in a GGUF file.

    `encode` gives the bytes and GGML type of a matrix; without it everything stays float32.
    """

    def write(path, directory, *, encode=None, pre="qwen2", metadata=None, extra=None):
        import gguf
        import numpy as np
        import torch
        from safetensors.torch import load_file

        config = json.loads((directory / "config.json").read_text())
        kind, num_heads = config["model_type"], config["num_attention_heads"]
        writer = gguf.GGUFWriter(path, kind)
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(num_heads)
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        rope = config.get("rope_parameters") or config
        writer.add_rope_freq_base(rope["rope_theta"])
        head_dim = config.get("head_dim") or config["hidden_size"] // num_heads
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        add = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string}
        for key, value in (metadata or {}).items():
            add[type(value)](key, value)
        add_tokenizer(writer, directory, pre)
        for name, tensor in load_file(directory / "model.safetensors").items():
            array = tensor.to(torch.float32).numpy()
            if kind == "llama" and ".q_proj." in name:
                array = interleaved(array, num_heads)
            elif kind == "llama" and ".k_proj." in name:
                array = interleaved(array, config["num_key_value_heads"])
            if encode and array.ndim > 1:
                raw, ggml_type = encode(array)
                writer.add_tensor(gguf_name(name), raw, raw_dtype=ggml_type)
            else:
                writer.add_tensor(gguf_name(name), np.ascontiguousarray(array))
        for name, array in (extra or {}).items():
            writer.add_tensor(name, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


@pytest.fixture(scope="session")
def roomy_model_dir(tiny_model_dir, tmp_path_factory):
    """A tiny model whose window holds several Steps."""
    path = tmp_path_factory.mktemp("roomy") / "tiny"
    shutil.copytree(tiny_model_dir("qwen2"), path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": WINDOW}))
    return path


@pytest.fixture
def store(tmp_path):
    """A store of prefixes with nothing in it."""
    from longctx.runtime.prefix_store import PrefixStore

    return PrefixStore(tmp_path / "prefixes", 10**9)


@pytest.fixture(scope="session")
def biased_model_dir(tmp_path_factory):
    """A function from an architecture to a tiny model of it: heads of 64, large biases of keys."""

    def directory(kind="qwen2", **more):
        import torch
        import transformers

        sizes = {"vocab_size": 512, "hidden_size": 256, "intermediate_size": 256}
        sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        config = transformers.AutoConfig.for_model(
            kind, **sizes, max_position_embeddings=4096, head_dim=64, eos_token_id=510, **more
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            for name, weight in model.named_parameters():
                is_norm = weight.ndim == 1 and name.endswith("weight")
                scale = 0.1 if weight.ndim == 1 else weight.shape[-1] ** -0.5
                torch.nn.init.normal_(weight, mean=float(is_norm), std=scale)
                if name.endswith("k_proj.bias"):
                    torch.nn.init.normal_(weight, std=BIAS)
                    # pairs that turn fast would drown all scores in those of the nearest keys
                    weight.data.view(-1, 2, 32)[:, :, :24] = 0
        path = tmp_path_factory.mktemp(kind)
        model.to(torch.bfloat16).save_pretrained(path)
        return path

    return directory


@pytest.fixture
def killed_pulls(tmp_path):
    """A function from what is pulled to what came of kills: how many, and what was wrong."""

    def kill(name, *, endpoint=None, entry=None, wheels=None):
        what, out = tmp_path / "what.json", tmp_path / "out.json"
        asked = {"name": name, "endpoint": endpoint, "entry": entry, "wheels": wheels}
        what.write_text(json.dumps({"root": str(tmp_path / "killed"), **asked}))
        program = Path(__file__).with_name("killed_pulls.py")
        done = subprocess.run(
            [sys.executable, "-P", program, what, out],
            capture_output=True,
            text=True,
            # a process that forks must have no threads of its own at work
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(out.read_text())
        return found["killed"], found["wrong"]

    return kill
