"""The built-in models against transformers, from the same stored weights.

The full comparison, with bfloat16 and ten continuations, is tests/bench/parity.py.
"""

import pytest
import torch

from longctx.runtime.decoder import forward
from longctx.runtime.loading import load_engine
from longctx.runtime.tokenizer import Tokenizer

pytestmark = pytest.mark.real_model
TEXT = (
    "def area(radius):\n    return 3.14159 * radius ** 2\n\n\nThe licence is granted to you. " * 6
)


@pytest.fixture(scope="module")
def directory(real_model_dir):
    return real_model_dir("qwen2.5-coder-0.5b")


@pytest.fixture(scope="module")
def theirs(directory):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


@pytest.mark.parametrize("step_size", [2048, 67])
def test_float32_logits_equal_those_of_transformers(directory, theirs, step_size):
    ids = Tokenizer.load(directory).encode(TEXT)
    reader = load_engine(directory, numerics="float32", window=1024).reader
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0]
        rows = [
            reader.decoder.logits(
                forward(reader.decoder, torch.tensor(ids[start : start + step_size]), reader.cache)
            )
            for start in range(0, len(ids), step_size)
        ]
    got = torch.cat(rows)
    assert len(got) == len(ids)
    assert (got - expected).norm() / expected.norm() < 1e-4


def test_greedy_continuations_equal_those_of_transformers(directory, theirs):
    tokenizer = Tokenizer.load(directory)
    engine = load_engine(directory, numerics="float32", window=1024)
    for prompt in ("def quicksort(items):\n", "The capital of France is"):
        ids = tokenizer.encode(prompt)
        expected, cache, step = [], None, torch.tensor([ids])
        with torch.inference_mode():
            for _ in range(12):
                out = theirs(step, past_key_values=cache, use_cache=True)
                cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
                expected.append(int(step))
        assert list(engine.generate(ids, max_tokens=12)) == expected
