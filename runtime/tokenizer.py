"""The tokenizer of a model directory: text to token ids, exactly as `transformers` has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from longctx.runtime import ranks_file
from longctx.runtime.byte_pair import BytePairCodec, exact_ranks
from longctx.runtime.errors import ModelError
from longctx.runtime.library_codec import LibraryCodec
from longctx.runtime.special_tokens import SpecialTokens, read_special_tokens

# Ends of a turn or a text in the models we know; a converted file often names but one of them.
_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>")
_INCOMPLETE = "\ufffd"


class Codec(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str) -> list[int]:
        """The token ids of ordinary text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Token ids of text and text of token ids, by the files of a model directory.

    `stop_ids` end an answer, `bos_id` is the model's beginning of a text, `opening_ids` is what
    its makers put before every text. `settings` is tokenizer_config.json.
    """

    directory: Path
    codec: Codec
    specials: SpecialTokens
    settings: Mapping[str, Any]
    stop_ids: frozenset[int]
    bos_id: int | None

    @classmethod
    def load(cls, directory: Path) -> Tokenizer:
        """The Tokenizer of a model directory in Hugging Face layout.

        Raises:
            ModelError: tokenizer.json is missing or malformed.
        """
        path = directory / "tokenizer.json"
        try:
            codec, specials = _load_codec(path)
        except FileNotFoundError as error:
            raise ModelError(
                f"{directory}: no tokenizer.json; expected a model in Hugging Face layout",
                "longctx models lists what is installed",
            ) from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: not a tokenizer that can be read ({error})") from error
        settings = _read_json(directory / "tokenizer_config.json")
        bos = token_text(settings.get("bos_token"))
        return cls(
            directory,
            codec,
            specials,
            settings,
            stop_ids=_stop_ids(directory, specials, settings),
            bos_id=specials.ids.get(bos or ""),
        )

    def encode(self, text: str) -> list[int]:
        """The token ids of ordinary text: no text becomes a special or added token.

        Surrogates are joined in pairs, and a lone one is read as U+FFFD.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self.codec.encode(text)

    def encode_with_specials(self, text: str) -> list[int]:
        """The token ids of a template's own text, in which special tokens are meant."""
        ids: list[int] = []
        for part in self.specials.split(text):
            ids += [part] if isinstance(part, int) else self.encode(part)
        return ids

    def count(self, text: str) -> int:
        """The number of tokens of ordinary text."""
        return len(self.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; U+FFFD stands for bytes that are no UTF-8."""
        return self.codec.decode(ids)

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yields the text of token ids as they come, a character only when all its bytes are in."""
        said: list[int] = []
        pending: list[int] = []
        for token_id in ids:
            pending.append(token_id)
            # Some tokenizers drop the space of a first word: the last words stand before it.
            text = self.decode([*said, *pending])[len(self.decode(said)) :]
            if text and not text.endswith(_INCOMPLETE):
                yield text
                said, pending = pending, []
        if rest := self.decode([*said, *pending])[len(self.decode(said)) :]:
            yield rest

    def starts(self, text: str, ids: Sequence[int]) -> list[int] | None:
        """Where in `text` each of its token ids begins; None if they do not say it as it stands.

        Tokens that only together make a character begin with it.
        """
        starts: list[int] = []
        pending: list[int] = []
        at = 0
        for token_id in ids:
            pending.append(token_id)
            starts.append(at)
            if not (said := self.decode(pending)).endswith(_INCOMPLETE):
                if not text.startswith(said, at):
                    return None
                at += len(said)
                pending = []
        return starts if at == len(text) else None

    def special(self, token: str) -> int | None:
        """The id of a special or added token, None if there is none of that name."""
        return self.specials.ids.get(token)


def _load_codec(path: Path) -> tuple[Codec, SpecialTokens]:
    """The fastest Codec that is exact for a tokenizer.json, and its SpecialTokens."""
    raw = path.read_bytes()
    digest = sha256(raw).hexdigest()
    # Only in our own store do we leave files.
    installed = (path.parent / "source.json").is_file()
    copy = path.with_name(ranks_file.FILE_NAME)
    if installed and (kept := ranks_file.load(copy, digest)):
        ranks, specials = kept
        return BytePairCodec(ranks, LibraryCodec(path, specials)), specials
    content = json.loads(raw)
    specials = read_special_tokens(content)
    library = LibraryCodec(path, specials)
    found = exact_ranks(content)
    if found is None:
        _check(library)
        return library, specials
    if installed:
        ranks_file.save(copy, digest, found, specials)
    return BytePairCodec(found, library), specials


def _check(library: LibraryCodec) -> None:
    try:
        library.encode("")
    # The library raises nothing narrower.
    except Exception as error:
        raise ValueError(error) from error


def token_text(entry: Any) -> str | None:
    """The text of a token in tokenizer_config.json, which is a string or an object."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def _stop_ids(
    directory: Path, specials: SpecialTokens, settings: Mapping[str, Any]
) -> frozenset[int]:
    names = (*_ENDS, token_text(settings.get("eos_token")))
    ids = {specials.ids[name] for name in names if name and name in specials.ids}
    for file in ("generation_config.json", "config.json"):
        entry = _read_json(directory / file).get("eos_token_id")
        ids |= {id for id in (entry if isinstance(entry, list) else [entry]) if type(id) is int}
    return frozenset(ids)


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no such file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
