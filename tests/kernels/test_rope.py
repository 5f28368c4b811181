import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from longctx.kernels import reference
from longctx.kernels.rope import angles, inverse_frequencies, rotate, score_factor

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize("num_tokens", [1, 63, 500])
def test_rotation_equals_the_reference(num_tokens):
    x = torch.randn(num_tokens, 6, 64)
    cos, sin = angles(inverse_frequencies(64, 1e6, {}), torch.arange(12_345, 12_345 + num_tokens))
    torch.testing.assert_close(rotate(x, cos, sin), reference.rope(x, cos, sin))


def test_scores_depend_on_the_distance_alone():
    q, k = torch.randn(2, 1, 1, 64)
    frequencies = inverse_frequencies(64, 1e4, {})

    def score(q_position, k_position):
        turned_q = rotate(q, *angles(frequencies, torch.tensor([q_position])))
        turned_k = rotate(k, *angles(frequencies, torch.tensor([k_position])))
        return (turned_q * turned_k).sum()

    torch.testing.assert_close(score(107, 100), score(7, 0), atol=1e-4, rtol=1e-4)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}


@pytest.mark.parametrize(
    "scaling",
    [
        LLAMA3,
        {"rope_type": "linear", "factor": 4.0},
        YARN,
        YARN | {"beta_fast": 16, "beta_slow": 2, "factor": 8.0},
        YARN | {"truncate": False},
        YARN | {"attention_factor": 1.5},
    ],
    ids=str,
)
def test_scaled_frequencies_equal_those_of_transformers(scaling):
    config = LlamaConfig(
        hidden_size=256,
        num_attention_heads=2,
        rope_parameters={"rope_theta": 5e5} | scaling,
        max_position_embeddings=131_072,
    )
    expected, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
    torch.testing.assert_close(inverse_frequencies(128, 5e5, scaling), expected)
    # transformers multiplies queries and keys with it, we the scores
    assert score_factor(scaling) == pytest.approx(factor**2)
