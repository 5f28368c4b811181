"""The few rows of an answer, two calls a layer, against the layers taken piece by piece."""

import pytest
import torch

from longctx.kernels.flash import BLOCK, has_flash
from longctx.runtime import decoder
from longctx.runtime.loading import load_engine
from longctx.runtime.sight import Sight

pytestmark = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")

# Answers that begin and end at Blocks, across the grid of micro-batches, and of ragged keys.
STARTS = [5, 62, 63, 64, 510, 511, 640]
SIGHTS = {
    "plain": Sight(),
    "chunks": Sight(extend="dca", window=2048),
    "blocks": Sight(decoding="blocks:dense_below=64,max_keys=256,sinks=1,window=1"),
}


@pytest.fixture(scope="module", params=["qwen2", "qwen3", "llama"])
def directory(request, tiny_model_dir):
    # a native window of so little that answers at 640 tokens see three Views
    return tiny_model_dir(request.param, head_dim=64, max_position_embeddings=512)


@torch.inference_mode()
def answered(directory, numerics, start, count, sight):
    """Logits of `count` tokens decoded behind `start` others, and the KVCache."""
    reader = load_engine(directory, window=sight.window, numerics=numerics, sight=sight).reader
    ids = torch.randint(0, 500, (start + count,), generator=torch.Generator().manual_seed(start))
    reader.read(ids[:start], lambda share: None, dense=True)
    return reader.decode(ids[start:]), reader.cache


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", SIGHTS)
def test_an_answer_is_that_of_the_pieces(directory, name, monkeypatch):
    sight = SIGHTS[name]
    taken = []
    monkeypatch.setattr(decoder, "_answer", lambda *a, f=decoder._answer: (taken.append(1), f(*a)))
    for start in STARTS if name == "chunks" else [start for start in STARTS if start < 508]:
        for count in (1, 3, 4):
            got, cache = answered(directory, "narrow", start, count, sight)
            assert taken, "the way was not taken"
            with monkeypatch.context() as patch:
                patch.setattr(decoder, "_turns", lambda *args: [])
                expected, pieces = answered(directory, "narrow", start, count, sight)
            assert distance(got, expected) < 0.05, (start, count)
            end = start + count
            for index, bound in enumerate((0.004, 0.05, 0.05)):
                for ours, theirs in (
                    (cache.keys[index][:, :end], pieces.keys[index][:, :end]),
                    (cache.values[index][:, :end], pieces.values[index][:, :end]),
                    (cache.means[index][:, : end // BLOCK], pieces.means[index][:, : end // BLOCK]),
                ):
                    assert not theirs.numel() or distance(ours.float(), theirs.float()) < bound


def test_an_answer_is_no_further_from_float32_than_the_pieces(directory, monkeypatch):
    errors = {"whole": 0.0, "pieces": 0.0}
    for start in (62, 200, 400):
        exact, _ = answered(directory, "float32", start, 4, Sight())
        got, _ = answered(directory, "narrow", start, 4, Sight())
        with monkeypatch.context() as patch:
            patch.setattr(decoder, "_turns", lambda *args: [])
            pieces, _ = answered(directory, "narrow", start, 4, Sight())
        errors["whole"] += distance(got, exact)
        errors["pieces"] += distance(pieces, exact)
    assert errors["whole"] <= 1.1 * errors["pieces"], errors


def test_an_answer_longer_than_the_room_is_our_mistake(directory):
    reader = load_engine(directory, window=64, numerics="narrow").reader
    reader.read(torch.arange(62), lambda share: None, dense=True)
    reader.decode(torch.tensor([1]))
    with pytest.raises(AssertionError):
        reader.decode(torch.tensor([2, 3]))
