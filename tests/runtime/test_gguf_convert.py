import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_convert import convert_gguf
from longctx.runtime.gguf_read import read_gguf


def quiet(phase, done, total):
    assert 0 <= done <= total


def converted(source, target):
    target.mkdir()
    convert_gguf(source, target, progress=quiet)
    return target


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_round_trip_is_the_same_model(kind, tmp_path, tiny_model_dir, write_gguf):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    original = tiny_model_dir(kind)
    target = converted(write_gguf(tmp_path / "tiny.gguf", original), tmp_path / "hf")
    expected = AutoModelForCausalLM.from_pretrained(original, dtype=torch.float32).eval()
    actual = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    assert type(actual) is type(expected)
    assert actual.config.tie_word_embeddings == expected.config.tie_word_embeddings
    assert actual.config.max_position_embeddings == 2048
    for name, weight in expected.state_dict().items():
        assert torch.equal(actual.state_dict()[name], weight), name
    ids = torch.arange(40).reshape(1, -1) * 7 % 512
    with torch.no_grad():
        torch.testing.assert_close(actual(ids).logits, expected(ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(target)
    text = "def f(x):\n    return x  # naïve 12345 你好 don't <|im_end|>"
    assert tokenizer.encode(text) == AutoTokenizer.from_pretrained(original).encode(text)
    generation = json.loads((target / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [508, 510]


def random_blocks(block_bytes, scales):
    """Blocks of arbitrary bits whose 16-bit scales, at the given places, are small numbers."""

    def encode(array):
        chance = np.random.default_rng(0)
        blocks = chance.integers(0, 256, (array.size // 256, block_bytes), np.uint8)
        for place in scales:
            values = chance.uniform(-1e-2, 1e-2, len(blocks)).astype("<f2")
            blocks[:, place : place + 2] = values.view(np.uint8).reshape(-1, 2)
        return blocks.reshape(array.shape[0], -1)

    return encode


def library(type_name):
    def encode(array):
        from gguf import GGMLQuantizationType, quants

        return quants.quantize(array, GGMLQuantizationType[type_name])

    return encode


ENCODERS = {
    **{name: library(name) for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1")},
    "Q8_0": library("Q8_0"),
    # the library reads these and does not write them
    "Q4_K": random_blocks(144, (0, 2)),
    "Q5_K": random_blocks(176, (0, 2)),
    "Q6_K": random_blocks(210, (208,)),
}


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory, tiny_model_dir):
    """A llama whose rows hold a whole block of 256."""
    import shutil

    import transformers

    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=510,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = transformers.LlamaForCausalLM(config)
    directory = tmp_path_factory.mktemp("wide")
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_dir("llama") / name, directory / name)
    return directory


@pytest.mark.parametrize("type_name", ENCODERS)
def test_each_type_is_dequantized(type_name, tmp_path, wide_model, write_gguf):
    from gguf import GGMLQuantizationType, quants

    ggml_type = GGMLQuantizationType[type_name]
    source = write_gguf(
        tmp_path / "tiny.gguf",
        wide_model,
        encode=lambda array: (ENCODERS[type_name](array), ggml_type),
    )
    target = converted(source, tmp_path / "hf")
    gguf = read_gguf(source)
    kept = {"F32": torch.float32, "F16": torch.float16}.get(type_name, torch.bfloat16)
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
    }
    with safe_open(target / "model.safetensors", "pt") as file:
        for name, hf_name in names.items():
            stored = gguf.tensors[name]
            assert stored.type.name == type_name
            raw = gguf.data[stored.start : stored.start + stored.num_bytes]
            values = quants.dequantize(raw.reshape(stored.shape[0], -1), ggml_type)
            expected = torch.from_numpy(values.astype(np.float32)).reshape(stored.shape)
            if "attn_q" in name:
                expected = expected.reshape(4, 32, 2, 256).transpose(1, 2).reshape(256, 256)
            assert torch.equal(file.get_tensor(hf_name), expected.to(kept)), name
        assert file.get_tensor("model.norm.weight").dtype == torch.float32
    config = json.loads((target / "config.json").read_text())
    assert config["torch_dtype"] == str(kept).removeprefix("torch.")


def test_values_that_are_not_finite_are_refused(tmp_path, wide_model, write_gguf):
    from gguf import GGMLQuantizationType, quants

    def encode(array):
        raw = quants.quantize(array, GGMLQuantizationType.Q8_0)
        raw[0, :2] = np.array([np.inf], "<f2").view(np.uint8)
        return raw, GGMLQuantizationType.Q8_0

    source = write_gguf(tmp_path / "tiny.gguf", wide_model, encode=encode)
    with pytest.raises(ModelError, match="holds values that are not finite"):
        converted(source, tmp_path / "hf")


@pytest.mark.parametrize(
    "before, after, expected",
    [
        (b"blk.1.attn_norm.weight", b"blk.1.attn_nork.weight", "'blk.1.attn_norm.weight' is miss"),
        (b"llama.block_count", b"llama.blocks_here", r"llama\.block_count is None"),
        (b"general.architecture", b"general.architektur", "general.architecture is None"),
    ],
)
def test_incomplete_model_is_named(before, after, expected, tmp_path, tiny_model_dir, write_gguf):
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("llama"))
    after = after.ljust(len(before), b"_")
    source.write_bytes(source.read_bytes().replace(before, after))
    with pytest.raises(ModelError, match=expected):
        converted(source, tmp_path / "hf")


@pytest.mark.parametrize(
    "metadata, expected",
    [
        ({"llama.feed_forward_length": 64}, r"'blk\.0\.ffn_gate\.weight' is \[128, 64\]"),
        ({"llama.block_count": 10**6}, "is 1000000 in a file of"),
        ({"llama.block_count": 2}, "tensors are not those of a llama model"),
        ({"llama.attention.head_count": 3}, "does not fit 2 KV heads"),
        ({"llama.attention.sliding_window": 512}, "sliding windows are not supported"),
        ({"llama.rope.dimension_count": 8}, "expected the head size 16"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "is nan"),
    ],
)
def test_contradicting_metadata_is_named(metadata, expected, tmp_path, tiny_model_dir, write_gguf):
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("llama"), metadata=metadata)
    with pytest.raises(ModelError, match=expected):
        converted(source, tmp_path / "hf")


def test_scaled_positions_are_kept(tmp_path, tiny_model_dir, write_gguf):
    metadata = {
        "qwen2.rope.scaling.type": "yarn",
        "qwen2.rope.scaling.factor": 4.0,
        "qwen2.rope.scaling.original_context_length": 2048,
    }
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("qwen2"), metadata=metadata)
    config = json.loads((converted(source, tmp_path / "hf") / "config.json").read_text())
    assert config["rope_scaling"] == {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 2048,
    }


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def frequency_factors(theta):
    """What llama.cpp's converter keeps of Llama 3's scaling, by way of transformers."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = LLAMA3 | {"rope_theta": theta}
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, rope_parameters=rope)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = theta ** -(torch.arange(0, 16, 2) / 16)
    return (plain / scaled).numpy().astype(np.float32)


def test_llama3_scaling_is_found_in_its_factors(tmp_path, tiny_model_dir, write_gguf):
    original = tiny_model_dir("llama")
    factors = {"rope_freqs.weight": frequency_factors(10_000.0)}
    assert len(set(factors["rope_freqs.weight"])) > 2
    source = write_gguf(tmp_path / "tiny.gguf", original, extra=factors)
    config = json.loads((converted(source, tmp_path / "hf") / "config.json").read_text())
    assert config["rope_scaling"] == LLAMA3


def test_other_frequency_factors_are_refused(tmp_path, tiny_model_dir, write_gguf):
    extra = {"rope_freqs.weight": np.linspace(1, 9, 8, dtype=np.float32)}
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model_dir("llama"), extra=extra)
    with pytest.raises(ModelError, match=r"rope_freqs\.weight holds other factors"):
        converted(source, tmp_path / "hf")


def test_unknown_architecture_is_named(tmp_path):
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "mamba.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match="'mamba' is not known; known are llama, qwen2, qwen3"):
        converted(tmp_path / "mamba.gguf", tmp_path / "hf")
