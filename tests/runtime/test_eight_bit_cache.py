"""The own decoder with keys and values in 8 bits, their bias as large as Qwen2.5's."""

from types import SimpleNamespace

import pytest
import torch

from longctx.kernels.blocks import block_means
from longctx.kernels.flash import has_flash
from longctx.runtime import decoder as decoders
from longctx.runtime.config import load_config
from longctx.runtime.decoder import forward
from longctx.runtime.errors import ModelError
from longctx.runtime.kv_cache import take_key_biases
from longctx.runtime.loading import load_engine
from longctx.runtime.memory import plan_memory
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.prefix_store import PrefixStore
from longctx.runtime.reader import own_reader
from longctx.runtime.sight import Sight

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")


@pytest.fixture(scope="module")
def qwen2(biased_model_dir):
    return biased_model_dir()


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


def kept_inside(config, weights):
    """No bias is taken out: it is rounded with the rest."""
    return [torch.zeros_like(one) for one in take_key_biases(config, dict(weights))]


@pytest.mark.parametrize("numerics", ["bfloat16", "narrow"])
def test_a_large_bias_costs_nothing_unless_it_is_rounded_too(qwen2, numerics, monkeypatch):
    ids = random_ids(700)
    exact = logits(qwen2, ids, "float32", kv8=False)
    in_16 = distance(logits(qwen2, ids, numerics, kv8=False, num_decoded=5), exact)
    in_8 = distance(logits(qwen2, ids, numerics, kv8=True, num_decoded=5), exact)
    monkeypatch.setattr(decoders, "take_key_biases", kept_inside)
    drowned = distance(logits(qwen2, ids, numerics, kv8=True, num_decoded=5), exact)
    # in 16 bits the bias is rounded with the rest
    assert in_8 < in_16
    assert drowned > 3 * in_16, (in_8, in_16, drowned)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("llama", {}), ("qwen3", {}), ("qwen3", {"attention_bias": True})],
    ids=["llama", "qwen3", "qwen3-biased"],
)
def test_models_without_such_a_bias_are_near_16_bits(biased_model_dir, kind, more):
    ids = random_ids(300)
    directory = biased_model_dir(kind, **more)
    exact = logits(directory, ids, "float32", kv8=False)
    in_16, in_8 = (
        distance(logits(directory, ids, "bfloat16", kv8=kv8, num_decoded=2), exact)
        for kv8 in (False, True)
    )
    # rows of 64 in steps of 1/127 of their greatest are off by 0.6 %: keys and values, two layers
    assert in_8 < (in_16**2 + 4 * 0.0075**2) ** 0.5, (in_8, in_16)


def test_a_bias_that_is_normed_with_the_keys_stays_with_them():
    config = SimpleNamespace(num_layers=2, num_kv_heads=2, head_dim=64)
    names = [f"model.layers.{layer}.self_attn." for layer in range(2)]
    weights = {name + "k_proj.bias": torch.full((128,), 3.0) for name in names}
    weights[names[1] + "k_norm.weight"] = torch.ones(64)
    biases = take_key_biases(config, weights)
    assert [one.unique().tolist() for one in biases] == [[3.0], [0.0]]
    assert list(weights) == [names[1] + "k_proj.bias", names[1] + "k_norm.weight"]


@pytest.mark.parametrize(
    "sight",
    [
        {"attention": "blocks:max_keys=512,dense_below=0"},
        {"attention": "vertical-slash:vertical=200,slash=400,dense_below=0"},
        {"attention": "blocks:max_keys=256,dense_below=0,stand_ins=4"},
        {"decoding": "blocks:max_keys=512,dense_below=0"},
    ],
    ids=["blocks", "vertical-slash", "stand-ins", "decoding"],
)
def test_sparse_modes_are_as_near_as_in_16_bits(qwen2, sight):
    ids = random_ids(2_000)
    exact = logits(qwen2, ids, "float32", kv8=False, num_decoded=5, **sight)
    in_16, in_8 = (
        distance(logits(qwen2, ids, "bfloat16", kv8=kv8, num_decoded=5, **sight), exact)
        for kv8 in (False, True)
    )
    assert in_8 < in_16


def test_chunks_of_dual_chunk_attention(biased_model_dir):
    chunks = {"chunk_size": 448, "local_size": 64, "original_max_position_embeddings": 448}
    directory = biased_model_dir(dual_chunk_attention_config=chunks)
    ids = random_ids(1_200)
    exact = logits(directory, ids, "float32", kv8=False)
    in_16, in_8 = (
        distance(logits(directory, ids, "bfloat16", kv8=kv8, num_decoded=2), exact)
        for kv8 in (False, True)
    )
    assert in_8 < in_16
    with pytest.raises(ModelError, match="whole Blocks of 64 tokens, not of 350"):
        chunks |= {"chunk_size": 400, "local_size": 50}
        load_engine(
            biased_model_dir(dual_chunk_attention_config=chunks), numerics="bfloat16", kv8=True
        )


def test_the_means_of_blocks_are_those_of_what_is_read(qwen2):
    reader = load_engine(qwen2, window=500, numerics="bfloat16", kv8=True).reader
    for part in random_ids(400).split([150, 1, 249]):
        forward(reader.decoder, part, reader.cache)
    for layer, means in enumerate(reader.cache.means):
        keys, _ = reader.cache.until(layer, 400)
        whole = block_means(keys.float())
        torch.testing.assert_close(means[:, :6], whole, atol=1e-3, rtol=1e-4)


@torch.inference_mode()
def test_a_stored_prefix_gives_the_same_bits_and_none_of_16(qwen2, tmp_path):
    prefix = random_ids(2_100).tolist()
    store = PrefixStore(tmp_path / "prefixes", 10**9)

    def read(ids, *, kv8, kept=True):
        told = []
        prefixes = store if kept else None
        with load_engine(
            qwen2, window=2_400, numerics="bfloat16", kv8=kv8, prefixes=prefixes
        ) as engine:
            logits = engine._prefill(ids, 2_100, lambda done, total: told.append(done))
        return logits.clone(), told[0]

    for kv8 in (True, False):
        for seed, stored in ((1, 0), (2, 2_100)):
            ids = prefix + random_ids(20, seed).tolist()
            expected, _ = read(ids, kv8=kv8, kept=False)
            got, found = read(ids, kv8=kv8)
            assert found == stored
            torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_the_plan_counts_codes_and_their_steps(qwen2):
    config, numerics = load_config(qwen2), choose_numerics("bfloat16", kv8=True)
    cache = own_reader(config, qwen2, 4_096, numerics, Sight()).cache
    held = [*cache.keys, *cache.values, *cache.means]
    held += [t for one in cache.eights for t in (one.key_scales, one.value_scales)]
    plan = plan_memory(config, qwen2, 4_096, step_size=512, numerics=numerics)
    assert plan.cache_bytes == sum(tensor.nbytes for tensor in held)
    # what serves all positions is little beside that, and the angles are there once
    eights = cache.eights
    assert len({t.data_ptr() for one in eights for t in (one.cos, one.sin)}) == 2
    shared = sum(one.bias.nbytes for one in eights) + eights[0].cos.nbytes * 2
    assert shared < 0.06 * plan.cache_bytes


@pytest.mark.parametrize("numerics", ["float32", "mixed"])
def test_other_numerics_are_refused(qwen2, numerics):
    with pytest.raises(ModelError, match="--kv8 is for activations in bfloat16") as refusal:
        load_engine(qwen2, numerics=numerics, kv8=True)
    assert "here they are in float32" in str(refusal.value)
    assert "--kv8" in refusal.value.hint


@pytest.mark.parametrize("kind", ["qwen2", "gpt_neox"])
def test_models_that_the_loops_do_not_fit_are_refused(tiny_model_dir, kind):
    with pytest.raises(ModelError) as refusal:
        load_engine(tiny_model_dir(kind), numerics="bfloat16", kv8=True)
    assert ("heads of 16" if kind == "qwen2" else "transformers") in str(refusal.value)
    assert "--kv8" in refusal.value.hint
