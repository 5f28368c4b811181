"""The own decoder with keys and values in 8 bits, their bias as large as Qwen2.5's."""


import pytest
import torch

from longctx.kernels.flash import has_flash
from longctx.runtime import decoder as decoders
from longctx.runtime.config import load_config
from longctx.runtime.decoder import forward
from longctx.runtime.engine import load_engine, origin_of
from longctx.runtime.errors import ModelError
from longctx.runtime.kv_cache import take_key_biases
from longctx.runtime.memory import plan_memory
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_keeper import PrefixKeeper
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")

# Beside keys that a product makes about 1 long in each place.
BIAS = 100.0


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A function from an architecture to a tiny model of it with heads of 64 numbers."""

    def directory(kind="qwen2", **more):
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


@pytest.fixture(scope="module")
def qwen2(model_dir):
    return model_dir()


def random_ids(count, seed=0):
    return torch.randint(0, 500, (count,), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def logits(directory, ids, numerics="bfloat16", *, kv8, num_decoded=0, **sight):
    """Of all tokens, the last of which are decoded one by one."""
    reader = load_engine(
        directory, window=len(ids), numerics=numerics, kv8=kv8, sight=Sight(**sight)
    ).reader
    prompt, decoded = ids[: len(ids) - num_decoded], ids[len(ids) - num_decoded :]
    rows = [
        reader.decoder.logits(forward(reader.decoder, part, reader.cache, dense=not sight))
        for part in prompt.split(1024)
    ]
    return torch.cat([*rows, *(reader.decode(one) for one in decoded[:, None])])


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("numerics", ["bfloat16", "narrow"])
def test_a_large_bias_costs_nothing_unless_it_is_rounded_too(qwen2, numerics, monkeypatch):
    ids = random_ids(700)
    exact = logits(qwen2, ids, "float32", kv8=False)
    in_16 = distance(logits(qwen2, ids, numerics, kv8=False, num_decoded=5), exact)
    in_8 = distance(logits(qwen2, ids, numerics, kv8=True, num_decoded=5), exact)


    def inside(config, weights):
        return [torch.zeros_like(one) for one in take_key_biases(config, dict(weights))]

    monkeypatch.setattr(decoders, "take_key_biases", inside)
    drowned = distance(logits(qwen2, ids, numerics, kv8=True, num_decoded=5), exact)
    print(in_16, in_8, drowned)
    assert in_8 < 1.2 * in_16
    assert drowned > 3 * in_8
