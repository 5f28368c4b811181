import json

import pytest

from longctx.runtime.config import foreign_reason, load_config
from longctx.runtime.errors import ModelError

QWEN_7B_1M = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000_000.0,
    "max_position_embeddings": 1_010_000,
    "tie_word_embeddings": False,
    "dual_chunk_attention_config": {
        "chunk_size": 262144,
        "local_size": 8192,
        "original_max_position_embeddings": 262144,
    },
}


def write(directory, **changes):
    raw = {key: value for key, value in (QWEN_7B_1M | changes).items() if value != "absent"}
    (directory / "config.json").write_text(json.dumps(raw))
    return directory


def test_the_published_config_of_a_1m_model(tmp_path):
    config = load_config(write(tmp_path))
    assert config.head_dim == 128
    assert (config.native_window, config.window) == (262_144, 1_010_000)
    assert config.dual_chunk == (262_144, 8_192)
    assert config.rope_theta == 1e7
    # research figure: 56 KiB a token in two bytes
    assert config.cache_bytes_per_token(2) == 56 * 1024
    assert foreign_reason(tmp_path) is None


def test_rope_parameters_of_newer_checkpoints(tmp_path):
    rope = {"rope_type": "default", "rope_theta": 5e5}
    config = load_config(write(tmp_path, rope_theta="absent", rope_parameters=rope))
    assert config.rope_theta == 5e5


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hidden_size": "absent"}, "'hidden_size' is missing"),
        ({"num_attention_heads": 0, "head_dim": 64}, "num_heads is 0"),
        ({"num_key_value_heads": 5}, "do not divide"),
        ({"num_hidden_layers": "many"}, "many"),
        ({"head_dim": 63}, "even"),
        ({"dual_chunk_attention_config": {"chunk_size": 8, "local_size": 5}}, "local_size is 5"),
        ({"dual_chunk_attention_config": {"chunk_size": 8}}, "'local_size' is missing"),
    ],
)
def test_values_no_decoder_can_have(tmp_path, changes, complaint):
    with pytest.raises(ModelError, match=complaint):
        load_config(write(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "[1]", "{", "\0"])
def test_a_config_that_is_no_object(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mixtral"}, "mixtral"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 4}}, "dynamic"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": 1.0}}, "mscale"),
        ({"use_sliding_window": True}, "sliding"),
        ({"quantization_config": {}}, "quantized"),
        ({"hidden_act": "gelu"}, "SwiGLU"),
    ],
)
def test_what_the_own_decoder_leaves_to_transformers(tmp_path, changes, reason):
    assert reason in foreign_reason(write(tmp_path, **changes))
