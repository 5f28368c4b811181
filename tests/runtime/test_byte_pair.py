"""tiktoken against the tokenizers library, whose answer is right by definition."""

import json
import random
import re
import unicodedata

import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from longctx.runtime.byte_pair import (
    _BLANK_LIMIT,
    BytePairCodec,
    byte_alphabet,
    exact_ranks,
    has_blank_run,
    stretches,
)
from longctx.runtime.library_codec import LibraryCodec
from longctx.runtime.special_tokens import read_special_tokens

UGLY = [
    "",
    " ",
    "\n",
    "a" * 3000,
    " " * 3000 + "x",
    "\n \t\r\n  \r\r\n\u3000\u00a0 \x85\u2028x",
    "I'M we'LL they\u2019re 'ſ 'S 's's's",
    "e\u0301 \u0065\u0323\u0301 \u1112\u1161\u11ab \ufb01 \u212b \u0344 \u2126",
    "a\u0898\u0323 b\U0001e4ec\u0301",
    "١٢٣ Ⅻ ½ 1234567890 1,000.5e-7",
    "唐诗三百首\r\n静夜思：床前明月光",
    "👩‍👩‍👧‍👦🏳️‍🌈 \u200b\u200d\ufeff\u202e\x00\x1b[31m",
    "<|im_start|>system<|im_end|><tool_call><|endoftext|",
    "def f(x):\n\n\n    return x ** 2  # ok\n\t\t\treturn\n",
    "\U0010ffff\ue000\ufffd",
]


@pytest.fixture(scope="module")
def content(tiny_tokenizer_dir):
    return json.loads((tiny_tokenizer_dir / "tokenizer.json").read_bytes())


@pytest.fixture(scope="module")
def library(tiny_tokenizer_dir, content):
    return LibraryCodec(tiny_tokenizer_dir / "tokenizer.json", read_special_tokens(content))


@pytest.fixture(scope="module")
def codec(content, library):
    return BytePairCodec(exact_ranks(content), library)


def fuzz(seed):
    """A text that mixes the kinds of characters, in runs."""
    source = random.Random(seed)
    kinds = ["aeiosST", " \t\n\r\u3000", "0123456789", "'.,-=*/", "éñüß", "中文字", "\u0301\u0323"]
    runs = []
    for _ in range(200):
        runs.append("".join(source.choices(source.choice(kinds), k=source.randint(1, 9))))
        runs.append(
            chr(source.choice([source.randrange(0xD800), source.randrange(0xE000, 0x30000)]))
        )
    return "".join(runs)


@pytest.mark.parametrize("text", UGLY, ids=range(len(UGLY)))
def test_ugly_text_is_encoded_as_by_the_library(codec, library, text):
    assert codec.encode(text) == library.encode(text)


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_encoded_as_by_the_library(codec, library, seed):
    text = fuzz(seed)
    assert codec.encode(text) == library.encode(text)
    assert codec.decode(codec.encode(text)) == library.decode(library.encode(text))


@pytest.mark.parametrize("length", [1, 2, 7, 50])
def test_text_may_be_encoded_stretch_by_stretch(codec, library, monkeypatch, length):
    monkeypatch.setattr("longctx.runtime.byte_pair._STRETCH_CHARACTERS", length)
    for seed in range(20):
        text = "".join(UGLY) + re.sub("[aé中]", "\n", fuzz(seed))
        assert len(list(stretches(text))) > 10
        assert "".join(stretches(text)) == text
        assert codec.encode(text) == library.encode(text)


def test_any_ids_are_decoded_as_by_the_library(codec, library):
    source = random.Random(0)
    for _ in range(200):
        ids = [source.randrange(512) for _ in range(20)]
        assert codec.decode(ids) == library.decode(ids)


def test_ids_without_a_token_are_nothing(codec):
    assert codec.decode([*codec.encode("ab"), 4000, *codec.encode("c")]) == "abc"


@pytest.mark.parametrize("group", [r"\p{L}+", r"\p{N}+", r"\s+"])
def test_both_regex_engines_know_the_same_characters(group):
    from tiktoken._tiktoken import CoreBPE

    # Beyond these planes lie tags, variation selectors and private use only.
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE0200)]))
    bytes_only = CoreBPE({bytes([byte]): byte for byte in range(256)}, {}, group)
    ours = bytes(bytes_only.encode_ordinary(text)).decode()
    split = pre_tokenizers.Split(Regex(group), "removed", invert=True)
    theirs = "".join(piece for piece, _ in split.pre_tokenize_str(text))
    assert ours == theirs


def test_text_that_python_calls_composed_is_left_alone_by_the_library():
    theirs = normalizers.NFC().normalize_str
    marks = [char for char in map(chr, range(0x110000)) if unicodedata.category(char)[0] == "M"]
    whole = [char for char in map(chr, range(0x110000)) if unicodedata.decomposition(char)]
    count = 0
    for char in marks + whole:
        for text in (char, "a" + char + "\u0323", "a\u0301" + char, char + "\u0301"):
            if unicodedata.is_normalized("NFC", text):
                count += 1
                assert theirs(text) == text, ascii(text)
    assert count > 10_000


@pytest.mark.parametrize("run", [" ", "\t ", "\r\n "])
def test_a_million_blanks_are_encoded(codec, run):
    text = "x" + run * (1_100_000 // len(run)) + "y"
    assert codec.decode(codec.encode(text)) == text


@pytest.mark.parametrize("run", ["a", "=", "7", "中", "a1", "(x)"])
def test_half_a_million_of_anything_else_is_encoded(codec, run):
    text = run * (500_000 // len(run))
    assert codec.decode(codec.encode(text)) == text


@pytest.mark.parametrize("start", [0, 1, _BLANK_LIMIT // 2 - 1, _BLANK_LIMIT + 7])
def test_a_run_of_blanks_is_found_wherever_it_lies(start):
    text = "x" * start + " " * _BLANK_LIMIT + "x"
    assert has_blank_run(text)
    assert not has_blank_run(text.replace(" " * 1000, " " * 999 + "x"))


def test_the_alphabet_is_that_of_byte_level_vocabularies():
    assert sorted(byte_alphabet()) == sorted(ByteLevel.alphabet())
    assert byte_alphabet()["Ġ"] == 0x20 and byte_alphabet()["Ċ"] == 0x0A


def hand_made(merges, *, tokens=None, **model):
    """A tokenizer.json with the byte alphabet, then `tokens`, or what the merges make."""
    tokens = tokens or ["".join(merge) for merge in merges]
    vocabulary = {token: index for index, token in enumerate([*sorted(byte_alphabet()), *tokens])}
    tokenizer = Tokenizer.from_str(
        json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": vocabulary, "merges": []}})
    )
    content = json.loads(tokenizer.to_str())
    content["model"] |= {"merges": merges, **model}
    return content


def with_pattern(content, tiny):
    return content | {"pre_tokenizer": tiny["pre_tokenizer"]}


ABC = [["a", "b"], ["b", "c"]]


@pytest.mark.parametrize("ignore_merges", [False, True])
def test_a_token_that_only_tiktoken_would_make_is_refused(content, ignore_merges):
    # "abc" becomes "ab" "c", a pair that is not listed; tiktoken would join it all the same
    reached = hand_made([*ABC, ["ab", "c"]], ignore_merges=ignore_merges)
    missed = hand_made([*ABC, ["a", "bc"]], ignore_merges=ignore_merges)
    assert exact_ranks(with_pattern(reached, content)) is not None
    assert exact_ranks(with_pattern(missed, content)) is None


def test_a_token_found_whole_may_be_out_of_reach_of_merges(content, tmp_path):
    # "bcd" and "abcd" are listed; "abcd" alone becomes "ab" "c" "d"
    merges = [["a", "b"], ["c", "e"], ["b", "c"], ["bc", "d"], ["a", "bcd"]]
    assert exact_ranks(with_pattern(hand_made(merges), content)) is None
    made = with_pattern(hand_made(merges, ignore_merges=True), content)
    ranks = exact_ranks(made)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(made))
    library = LibraryCodec(path, read_special_tokens(made))
    codec = BytePairCodec(ranks, library)
    for text in ("abcd", "abcda", "xabcd", "abcd abcd", "bcdabcd", "aabcdce"):
        assert codec.encode(text) == library.encode(text)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}},
        {"pre_tokenizer": None},
        {"added_tokens": [{"id": 512, "content": "  "}]},
    ],
    ids=str,
)
def test_what_tiktoken_cannot_do_is_refused(content, change):
    assert exact_ranks(content) is not None
    assert exact_ranks(content | change) is None


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Unigram"},
        {"dropout": 0.1},
        {"unk_token": "a"},
        {"byte_fallback": True},
        {"end_of_word_suffix": "</w>"},
    ],
    ids=str,
)
def test_models_that_tiktoken_does_not_have_are_refused(content, change):
    assert exact_ranks(content | {"model": content["model"] | change}) is None


def test_merges_out_of_the_order_of_the_ids_are_refused(content):
    merges = list(reversed(ABC))
    made = with_pattern(hand_made(merges, tokens=["ab", "bc"]), content)
    assert exact_ranks(made) is None


def test_a_missing_byte_is_refused(content):
    made = with_pattern(hand_made(ABC), content)
    del made["model"]["vocab"]["Z"]
    assert exact_ranks(made) is None


def test_merges_may_be_written_as_pairs_or_with_a_space(content):
    merges = [" ".join(pair) for pair in content["model"]["merges"]]
    assert exact_ranks(content | {"model": content["model"] | {"merges": merges}}) == exact_ranks(
        content
    )
