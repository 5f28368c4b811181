"""Tokenizers that are not byte-pair, through the tokenizers library."""

import json

import pytest

from longctx.runtime.library_codec import LibraryCodec
from longctx.runtime.special_tokens import read_special_tokens
from longctx.runtime.tokenizer import Tokenizer

SPACE = "\u2581"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A Unigram tokenizer, as of SentencePiece, whose vocabulary holds its special tokens."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers

    path = tmp_path_factory.mktemp("unigram")
    letters = [(letter, -8.0) for letter in "<>s/abcdehlorw|" + SPACE]
    words = [(SPACE + "hello", -3.0), (SPACE + "world", -3.0), ("</s>", 0.0), ("<s>", 0.0)]
    library = Library(models.Unigram([("<unk>", 0.0), *words, *letters], unk_id=0))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.enable_truncation(4)
    library.enable_padding(length=64)
    library.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return path


@pytest.fixture(scope="module")
def codec(directory):
    content = json.loads((directory / "tokenizer.json").read_bytes())
    return LibraryCodec(directory / "tokenizer.json", read_special_tokens(content))


def test_text_is_neither_cut_nor_padded(codec):
    assert codec.decode(codec.encode("hello world " * 20)) == "hello world " * 20


def test_a_token_that_the_vocabulary_holds_is_text_in_text(codec):
    ids = codec.encode("hello</s> world<s>")
    assert not {codec.specials.ids["<s>"], codec.specials.ids["</s>"]} & set(ids)


def test_unknown_letters_are_the_unknown_token(codec):
    assert codec.specials.ids["<unk>"] in codec.encode("hello é")


def test_a_stream_keeps_the_spaces_between_words(directory):
    tokenizer = Tokenizer.load(directory)
    assert isinstance(tokenizer.codec, LibraryCodec)
    ids = tokenizer.encode("hello world hello")
    assert list(tokenizer.decode_stream(ids)) == ["hello", " world", " hello"]
    assert tokenizer.stop_ids == {tokenizer.special("</s>")}
