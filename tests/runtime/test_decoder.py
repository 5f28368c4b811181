"""The decoder against transformers, from the same stored weights."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import linear

from longctx.kernels.linear import FEW_ROWS
from longctx.kernels.narrow import in_bytes, narrow, widen
from longctx.runtime import decoder, layer, numerics
from longctx.runtime.decoder import forward
from longctx.runtime.loading import load_engine

KINDS = ["qwen2", "qwen3", "llama"]


@pytest.fixture(scope="module", params=KINDS)
def directory(request, tiny_model_dir):
    return tiny_model_dir(request.param)


def random_ids(count, vocabulary=512, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary, (count,), generator=generator).tolist()


def theirs(directory, dtype):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()


@torch.inference_mode()
def their_logits(directory, ids, dtype):
    return theirs(directory, dtype)(torch.tensor([ids])).logits[0].float()


@torch.inference_mode()
def our_logits(directory, ids, numerics, step_size):
    """Read in Steps; few rows at a time are decoded."""
    reader = load_engine(directory, numerics=numerics).reader
    rows = []
    for start in range(0, len(ids), step_size):
        step = torch.tensor(ids[start : start + step_size])
        if step_size <= FEW_ROWS:
            rows.append(reader.decode(step))
        else:
            hidden = forward(reader.decoder, step, reader.cache)
            rows.append(reader.decoder.logits(hidden))
    return torch.cat(rows)


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("step_size", [2048, 512, 129, 64])
def test_float32_logits_equal_those_of_transformers(directory, step_size):
    ids = random_ids(701)
    error = distance(
        our_logits(directory, ids, "float32", step_size),
        their_logits(directory, ids, torch.float32),
    )
    assert error < 1e-4, error


def test_bfloat16_is_no_further_from_float32_than_transformers(directory):
    ids = random_ids(400)
    exact = their_logits(directory, ids, torch.float32)
    ours = distance(our_logits(directory, ids, "bfloat16", 2048), exact)
    reference = distance(their_logits(directory, ids, torch.bfloat16), exact)
    assert ours <= 1.2 * reference, (ours, reference)


@pytest.fixture(params=["float32", "bfloat16"])
def activations(request, monkeypatch):
    """What either kind of processor chooses for activations, whichever this one is."""
    for module in (numerics, decoder):
        monkeypatch.setattr(module, "has_fast_bfloat16", lambda: request.param == "bfloat16")
    if request.param == "float32":
        for products in ("has_byte_products", "has_tile_products"):
            monkeypatch.setattr(numerics, products, lambda: False)
    return request.param


@pytest.mark.parametrize("rows", [1, FEW_ROWS])
def test_decoding_in_mixed_is_closer_to_float32_than_bfloat16(directory, rows):
    ids = random_ids(300)
    exact = their_logits(directory, ids, torch.float32)
    mixed = distance(our_logits(directory, ids, "mixed", rows), exact)
    assert mixed < distance(their_logits(directory, ids, torch.bfloat16), exact), mixed


@pytest.mark.parametrize("rows", [1, FEW_ROWS])
def test_decoding_with_narrow_weights_is_that_of_the_widened_ones(
    directory, rows, activations, monkeypatch
):
    ids = random_ids(120)
    exact = load_engine(directory, numerics="float32").reader
    widened = {
        name: widen(narrow(weight, 8)) if name.endswith("proj.weight") else weight
        for name, weight in exact.decoder.weights.items()
    }
    exact.decoder = replace(exact.decoder, weights=widened)
    with monkeypatch.context() as patch:
        # rows meet them in 8 bits
        patch.setattr(layer, "project", lambda x, *matrix: linear(in_bytes(x), *matrix))
        hidden = forward(exact.decoder, torch.tensor(ids), exact.cache)
    expected = exact.decoder.logits(hidden)
    reader = load_engine(directory, numerics="int8").reader
    got = torch.cat([reader.decode(torch.tensor(part)) for part in batched(ids, rows)])
    # the likeliest are scored exactly, the others by the narrow head
    best = expected.topk(100).indices

    got, expected = got.gather(1, best), expected.gather(1, best)
    off = (got - expected).norm(dim=1) / expected.norm(dim=1)
    # now and then a code that lies between two falls to the other side, and later tokens see it;
    # activations in bfloat16 move many
    assert off[0] < (1e-5 if activations == "float32" else 0.03)
    assert off.median() < (0.006 if activations == "float32" else 0.03)


def test_prompts_in_int8_stay_near_float32_whatever_the_step(directory, activations):
    ids = random_ids(300)
    exact = their_logits(directory, ids, torch.float32)
    for step_size in (2048, 77):
        # at most 0.035 by the codes and 0.02 by bfloat16, which add up as squares
        assert 1e-5 < distance(our_logits(directory, ids, "int8", step_size), exact) < 0.05


@pytest.mark.parametrize("activations", ["float32"], indirect=True)
def test_in_int8_a_tokens_scale_is_its_own(directory, activations):
    ids = random_ids(300)
    whole, parts = (our_logits(directory, ids, "int8", step_size) for step_size in (2048, 77))
    moved = (parts - whole).norm(dim=1) / whole.norm(dim=1)
    # the last digits of float32 sums depend on the Step, so now and then a code that lies between
    # two falls to the other side, and later tokens may see it; a shared scale would move them all
    assert moved.quantile(0.25) < 1e-5


def batched(ids, size):
    return [ids[start : start + size] for start in range(0, len(ids), size)]


@torch.inference_mode()
def their_greedy(model, ids, count):
    out, cache, step = [], None, torch.tensor([ids])
    for _ in range(count):
        result = model(step, past_key_values=cache, use_cache=True)
        cache, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
        out.append(int(step))
    return out


def test_greedy_continuations_equal_those_of_transformers(directory):
    model = theirs(directory, torch.float32)
    engine = load_engine(directory, numerics="float32")
    for seed in range(10):
        ids = random_ids(50 + 13 * seed, seed=seed)
        assert list(engine.generate(ids, max_tokens=64)) == their_greedy(model, ids, 64)


def test_the_likeliest_tokens_of_a_decoded_row_are_scored_in_float32(directory):
    reader = load_engine(directory, numerics="mixed").reader
    head = torch.randn(512, 64).bfloat16()
    name = "model.embed_tokens.weight" if reader.decoder.config.tied_head else "lm_head.weight"
    decoder = replace(reader.decoder, weights={**reader.decoder.weights, name: head})
    for seed in range(20):
        row = torch.randn(1, 64, generator=torch.Generator().manual_seed(seed))
        exact = row @ head.float().T
        best = exact.topk(100).indices[0]
        torch.testing.assert_close(decoder.logits(row, decoding=True)[0, best], exact[0, best])
