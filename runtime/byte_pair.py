"""Byte-level byte-pair encoding through tiktoken, for tokenizers where that is provably exact.

tiktoken merges any two neighbours whose bytes together are a token, lowest id first; the tokenizers
library merges listed pairs only, first listed first (Sennrich et al., arXiv 1508.07909). They agree
on every text when the list makes the tokens in the order of their ids and every token, taken alone,
is merged back into itself: what happens inside a token's bytes does not depend on what stands
around them, so the last two parts are always the listed pair. `exact_ranks` checks this.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING, Any

from longctx.runtime.library_codec import LibraryCodec

if TYPE_CHECKING:
    from tiktoken._tiktoken import CoreBPE

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
# Both libraries' regex engines read these alike, and they leave no character unmatched.
_PATTERNS = frozenset({_QWEN2, _LLAMA3})

# tiktoken's regex engine remembers each character of a run of white space, and panics at a million.
_BLANK_LIMIT = 200_000
_HALF_BLANK = re.compile(rf"\s{{{_BLANK_LIMIT // 2}}}")

# Every pattern cuts between a line end and what is no white space: an encoding may start there.
_CUT = re.compile(r"\n(?=\S)")
_STRETCH_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Ranks:
    """What tiktoken needs: the regex that cuts text, and the id of each token's bytes."""

    pattern: str
    nfc: bool
    ids: Mapping[bytes, int]


@dataclass(frozen=True, eq=False)
class BytePairCodec:
    """Text to token ids and back by Ranks; `library` is asked where tiktoken would fail."""

    ranks: Ranks
    library: LibraryCodec

    def encode(self, text: str) -> list[int]:
        """The token ids of ordinary text, in which an added token is text like any other."""
        if self.ranks.nfc and not unicodedata.is_normalized("NFC", text):
            text = "\n".join(map(_composed, text.split("\n")))
        if has_blank_run(text):
            return self.library.encode(text)
        encode = self._core.encode_ordinary
        parts = list(stretches(text))
        if len(parts) == 1:
            ids: list[int] = encode(text)
            return ids
        from concurrent.futures import ThreadPoolExecutor

        # tiktoken lets go of Python's lock while it works.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(chain.from_iterable(pool.map(encode, parts)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, added tokens included; ids without a token are nothing."""
        try:
            data: bytes = self._core.decode_bytes(ids)
        except KeyError:
            data = b"".join(map(self._token_bytes, ids))
        return data.decode("utf-8", errors="replace")

    def _token_bytes(self, token_id: int) -> bytes:
        try:
            data: bytes = self._core.decode_single_token_bytes(token_id)
        except KeyError:
            return b""
        return data

    @cached_property
    def _core(self) -> CoreBPE:
        from tiktoken._tiktoken import CoreBPE

        # In a group of their own, the alternatives without look-ahead run in the fast engine.
        plain, look_ahead, rest = self.ranks.pattern.partition(r"|\s+(?!\S)")
        pattern = f"(?:{plain}){look_ahead}{rest}"
        return CoreBPE(self.ranks.ids, dict(self.library.specials.ids), pattern)


def _composed(line: str) -> str:
    """The line in NFC, as the library has it; nothing composes across the end of a line.

    The library goes by an older Unicode than Python, but leaves alone what Python calls composed.
    """
    if unicodedata.is_normalized("NFC", line):
        return line
    from tokenizers.normalizers import NFC

    composed: str = NFC().normalize_str(line)
    return composed


def stretches(text: str) -> Iterator[str]:
    """The text in long stretches whose token ids, one after the other, are those of the whole."""
    start = 0
    while found := _CUT.search(text, start + _STRETCH_CHARACTERS):
        yield text[start : found.end()]
        start = found.end()
    yield text[start:]


def has_blank_run(text: str) -> bool:
    """Whether the text may hold a run of white space that is too long for tiktoken."""
    # A run that long covers one of these places, and half of it lies behind the place.
    places = range(0, len(text) - _BLANK_LIMIT // 2, _BLANK_LIMIT // 2)
    return any(_HALF_BLANK.match(text, place) for place in places)


def exact_ranks(tokenizer: Mapping[str, Any]) -> Ranks | None:
    """The Ranks of a parsed tokenizer.json, None where tiktoken would not be exact."""
    model, normalizer = tokenizer["model"], tokenizer.get("normalizer")
    altering = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    pattern = _split_pattern(tokenizer.get("pre_tokenizer") or {})
    added = [token["content"] for token in tokenizer.get("added_tokens") or []]
    if (
        model.get("type") != "BPE"
        or any(model.get(name) for name in (*altering, "byte_fallback"))
        or pattern not in _PATTERNS
        or normalizer not in (None, {"type": "NFC"})
        or any(not content.strip() for content in added)
    ):
        return None
    ids = _ids_by_bytes(model, set(added))
    return None if ids is None else Ranks(pattern, normalizer is not None, ids)


def _split_pattern(pre_tokenizer: Mapping[str, Any]) -> str:
    """The regex of a `Split` followed by a bare `ByteLevel`, empty for anything else."""
    match pre_tokenizer:
        case {
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": str(regex)},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ]
        }:
            return regex
    return ""


def _ids_by_bytes(model: Mapping[str, Any], added: set[str]) -> dict[bytes, int] | None:
    """The id of each token's bytes, None where merging by id differs from merging by the list."""
    vocabulary: dict[str, int] = model["vocab"]
    merges = [_pair(merge) for merge in model["merges"]]
    # A token may be listed with several pairs, one after the other.
    merged = [token for token, _ in groupby(left + right for left, right in merges)]
    alphabet = byte_alphabet()
    reachable = alphabet.keys() | set(merged)
    if not reachable <= vocabulary.keys() or not reachable.isdisjoint(added):
        return None
    if any(vocabulary[token] >= vocabulary[later] for token, later in pairwise(merged)):
        return None
    whole_first = bool(model.get("ignore_merges"))
    if whole_first and not vocabulary.keys() <= reachable | added:
        return None
    for parts in _num_parts(vocabulary, merges, merged):
        # Looked up whole, a token may also be one that merging never makes, here as there.
        if parts != 1 and not (whole_first and parts > 2):
            return None
    table = str.maketrans({letter: chr(byte) for letter, byte in alphabet.items()})
    tokens = [*alphabet, *merged]
    return {token.translate(table).encode("latin-1"): vocabulary[token] for token in tokens}


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _num_parts(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], tokens: Iterable[str]
) -> Iterable[int]:
    """For each token, the number of parts that the listed merges leave of it."""
    from tokenizers.models import BPE

    model = BPE(vocab=vocabulary, merges=merges)
    return (len(model.tokenize(token)) for token in tokens)


def byte_alphabet() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for (GPT-2's table)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + index): byte for index, byte in enumerate(hidden)
    }
