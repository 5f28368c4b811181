import json
import shutil
from pathlib import Path

import pytest

from longctx.runtime.byte_pair import BytePairCodec
from longctx.runtime.errors import ModelError
from longctx.runtime.library_codec import LibraryCodec
from longctx.runtime.tokenizer import Tokenizer

ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_dir):
    return Tokenizer.load(tiny_tokenizer_dir)


@pytest.fixture
def directory(tiny_tokenizer_dir, tmp_path):
    return Path(shutil.copytree(tiny_tokenizer_dir, tmp_path / "model"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def test_equal_to_transformers(tokenizer):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tokenizer.directory)
    text = Path(__file__).read_text() + "Ünïcödé e\u0301 中文 \t\n  \n x"
    text = text.replace("<", "{")
    assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)
    marked = f"<|im_start|>user\n{text}<|im_end|>\n<tool_call>"
    assert tokenizer.encode_with_specials(marked) == theirs.encode(marked)


@pytest.mark.parametrize("token", ADDED)
def test_text_never_becomes_an_added_token(tokenizer, token):
    ids = tokenizer.encode(f"a{token}b {token}")
    assert not set(ids) & set(tokenizer.specials.ids.values())
    assert tokenizer.decode(ids) == f"a{token}b {token}"
    assert tokenizer.encode_with_specials(f"a{token}")[-1] == tokenizer.special(token)
    assert tokenizer.decode([tokenizer.special(token)]) == token


def test_unknown_special_tokens_are_none(tokenizer):
    assert tokenizer.special("<|no_such|>") is None


def test_count_is_the_number_of_ids(tokenizer):
    assert tokenizer.count("") == 0
    assert tokenizer.count("hello, world") == len(tokenizer.encode("hello, world"))


@pytest.mark.parametrize("text", ["a", "def f(x):\n\treturn x", "naïve 中文 🙂🙂\u200d x\r\n"])
def test_each_token_begins_where_the_text_has_it(tokenizer, text):
    ids = tokenizer.encode(text)
    starts = tokenizer.starts(text, ids)
    assert len(starts) == len(ids)
    assert starts == sorted(starts)
    for start, end, whole in zip(starts, [*starts[1:], len(text)], ids, strict=True):
        said = tokenizer.decode([whole])
        assert said == text[start:end] or not said.isascii()


def test_text_that_a_tokenizer_alters_has_no_starts(tokenizer):
    assert tokenizer.starts("e\u0301", tokenizer.encode("\u00e9")) is None
    assert tokenizer.starts("ab", tokenizer.encode("a")) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud83d\ude00!", "😀!"),
        ("é\udc80", "é\ufffd"),
    ],
)
def test_surrogates_are_joined_or_replaced(tokenizer, text, read):
    assert tokenizer.encode(text) == tokenizer.encode(read)


@pytest.mark.parametrize(
    "text", ["", "plain", "👩‍👩‍👧 中文字 é", "\ufffd", "a\ufffdb中", "e\u0301"]
)
def test_a_stream_yields_whole_characters_and_all_of_the_text(tokenizer, text):
    ids = tokenizer.encode(text)
    pieces = list(tokenizer.decode_stream(iter(ids)))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert "" not in pieces
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_stream_that_ends_inside_a_character_says_so(tokenizer):
    ids = tokenizer.encode("ok 😀")[:-1]
    *pieces, last = tokenizer.decode_stream(ids)
    assert "".join(pieces) == "ok " and set(last) == {"\ufffd"}


def test_a_stream_shows_a_word_as_soon_as_it_is_there(tokenizer):
    seen = []

    def ids():
        for token_id in tokenizer.encode("one two three"):
            yield token_id
            seen.append("".join(pieces))

    pieces = []
    for piece in tokenizer.decode_stream(ids()):
        pieces.append(piece)
    assert seen[0] and seen[-1] == "one two three"


def test_stop_ids_come_from_every_file_that_names_them(directory):
    im_end, end_of_text = (Tokenizer.load(directory).special(t) for t in (ADDED[2], ADDED[0]))
    assert Tokenizer.load(directory).stop_ids == {im_end, end_of_text}
    (directory / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    (directory / "config.json").write_text('{"eos_token_id": 8, "bos_token_id": null}')
    assert Tokenizer.load(directory).stop_ids == {im_end, end_of_text, 7, 8, 9}


@pytest.mark.parametrize("bos", ["<|im_start|>", {"content": "<|im_start|>", "lstrip": False}])
def test_bos_is_read_from_the_settings(directory, bos):
    assert Tokenizer.load(directory).bos_id is None
    edit(directory / "tokenizer_config.json", bos_token=bos)
    loaded = Tokenizer.load(directory)
    assert loaded.bos_id == loaded.special("<|im_start|>")


def test_other_tokenizers_go_through_the_library(directory):
    assert isinstance(Tokenizer.load(directory).codec, BytePairCodec)
    edit(directory / "tokenizer.json", normalizer={"type": "Lowercase"})
    loaded = Tokenizer.load(directory)
    assert isinstance(loaded.codec, LibraryCodec)
    assert loaded.encode("ABC") == loaded.encode("abc")
    assert not set(loaded.encode("<|im_end|>")) & set(loaded.specials.ids.values())
    assert loaded.encode("a\ud800") == loaded.encode("a\ufffd")


def test_only_an_installed_model_gets_a_file_and_reads_it(directory):
    copy = directory / "tokenizer.ranks"
    plain = Tokenizer.load(directory)
    assert not copy.exists()
    (directory / "source.json").write_text("{}")
    first, second = Tokenizer.load(directory), Tokenizer.load(directory)
    assert copy.is_file() and [path for path in directory.iterdir() if path.name[0] == "."] == []
    assert first.codec.ranks == second.codec.ranks == plain.codec.ranks
    assert first.specials == second.specials
    assert second.encode("some text") == plain.encode("some text")


def test_a_changed_tokenizer_is_read_again(directory):
    (directory / "source.json").write_text("{}")
    before = Tokenizer.load(directory)
    added = json.loads((directory / "tokenizer.json").read_bytes())["added_tokens"]
    added[-1]["content"] = "<tool_talk>"
    edit(directory / "tokenizer.json", added_tokens=added)
    after = Tokenizer.load(directory)
    assert before.special("<tool_call>") == after.special("<tool_talk>")
    assert after.special("<tool_call>") is None


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(ModelError, match="no tokenizer.json") as raised:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(raised.value) and raised.value.hint


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"model": 3}',
        b'{"model": {"type": "BPE"}}',
        b'{"model": {"type": "BPE", "vocab": {}, "merges": [["a"]]}}',
        b'{"added_tokens": [3], "model": {}}',
        b"\xff\xfe",
    ],
)
def test_a_malformed_tokenizer_is_a_clear_error(directory, raw):
    (directory / "tokenizer.json").write_bytes(raw)
    with pytest.raises(ModelError, match="tokenizer.json: not a tokenizer"):
        Tokenizer.load(directory)


@pytest.mark.parametrize("raw", ["nothing", "[1]"])
def test_malformed_settings_are_a_clear_error(directory, raw):
    (directory / "tokenizer_config.json").write_text(raw)
    with pytest.raises(ModelError, match="tokenizer_config.json"):
        Tokenizer.load(directory)


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("corpus", "file"),
    [
        ("austen", "emma.txt"),
        ("debian-reference-zh-cn", "debian-reference.zh-cn.txt"),
        ("click-8.1.7", "src/click/core.py"),
        ("blns", "blns.json"),
    ],
)
def test_the_real_tokenizer_equals_transformers(real_model_dir, corpus_dir, corpus, file):
    from transformers import AutoTokenizer

    directory = real_model_dir("qwen2.5-coder-0.5b")
    text = (corpus_dir(corpus) / file).read_text(encoding="utf-8")[:300_000]
    ours, theirs = Tokenizer.load(directory), AutoTokenizer.from_pretrained(directory)
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    assert ours.decode(ids) == theirs.decode(ids)
