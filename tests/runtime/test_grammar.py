"""Answers that follow a JSON schema, whatever the model would rather say."""

import json
import shutil

import jsonschema
import pytest
import tokenizers
import torch

from longctx.runtime.errors import ModelError
from longctx.runtime.grammar import Grammar
from longctx.runtime.loading import load_engine
from longctx.runtime.sampling import Sampling
from longctx.runtime.tokenizer import Tokenizer

STOP = 510
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 8},
        "rent": {"type": "integer", "minimum": 0, "maximum": 9999},
        "kind": {"enum": ["lease", "sale"]},
        "rooms": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "rent", "kind", "rooms"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def directory(tiny_model_dir, tmp_path_factory):
    """A tiny random model whose tokens are the 256 bytes."""
    found = shutil.copytree(tiny_model_dir("qwen2"), tmp_path_factory.mktemp("bytes") / "model")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({letter: index for index, letter in enumerate(letters)}, [])
    library = tokenizers.Tokenizer(model)
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
    library.decoder = tokenizers.decoders.ByteLevel()
    library.save(str(found / "tokenizer.json"))
    return found


@pytest.fixture(scope="module")
def engine(directory):
    return load_engine(directory, window=600, numerics="float32")


def ids_of(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (12,), generator=generator).tolist()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_model_the_answer_follows_the_schema(directory, engine, seed):
    grammar = Grammar(directory, 255, json.dumps(SCHEMA))
    sampling = Sampling(temperature=0.7 * (seed % 3), seed=seed)
    written = list(
        engine.generate(ids_of(seed), max_tokens=400, sampling=sampling, grammar=grammar)
    )
    said = json.loads(Tokenizer.load(directory).decode(written))
    jsonschema.validate(said, SCHEMA)
    assert list(said) == ["name", "rent", "kind", "rooms"]


def test_what_must_come_is_read_ahead_and_changes_nothing(directory, engine):
    grammar = Grammar(directory, 255, json.dumps(SCHEMA))
    before = engine.num_foreseen
    given = {"max_tokens": 400, "grammar": grammar}
    written = list(engine.generate(ids_of(3), **given))
    # `{"name": ` and its like: the bytes of four names at least
    assert engine.num_foreseen - before >= 20
    engine.guesses = False
    assert list(engine.generate(ids_of(3), **given)) == written
    engine.guesses = True


def test_an_answer_without_an_end_of_its_own_ends_where_the_model_stops(directory, engine):
    grammar = Grammar(directory, 255, '{"type": "integer"}')
    walk = grammar.walk()
    letters = Tokenizer.load(directory)
    logits = torch.zeros(512)
    for digit in letters.encode("12"):
        assert walk.allowed(logits)[digit] == 0
        assert not walk.take(digit)
    allowed = walk.allowed(logits).isfinite().nonzero().flatten().tolist()
    assert set(allowed) >= {*letters.encode("0123456789"), 255}
    assert letters.encode("x")[0] not in allowed and max(allowed) < 256
    # each answer is a walk of its own
    assert letters.encode("-")[0] in grammar.walk().allowed(logits).isfinite().nonzero()


def test_the_mask_leaves_room_for_less_and_more_tokens_than_the_tokenizer_has(directory):
    walk = Grammar(directory, 255, '{"type": "boolean"}').walk()
    for size in (200, 256, 700):
        found = walk.allowed(torch.zeros(size))
        assert found.shape == (size,)
        assert set(found.isfinite().nonzero().flatten().tolist()) <= set(
            Tokenizer.load(directory).encode("tf")
        )


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("{", "cannot be followed"),
        ('{"type": "colour"}', "colour"),
        ('{"type": "string", "pattern": "("}', "cannot be followed"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(directory, schema, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        Grammar(directory, 255, schema)
    assert "plain schemas" in caught.value.hint
