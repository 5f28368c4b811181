"""The tokens beside a tokenizer's vocabulary, such as `<|im_start|>` or `<tool_call>`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of the added tokens, a regex that finds them, and the ids that begin every text.

    The regex takes the white space in that a token swallows (`lstrip`, `rstrip`).
    """

    ids: Mapping[str, int]
    pattern: str
    opening_ids: tuple[int, ...]

    def split(self, text: str) -> list[str | int]:
        """The text as ordinary stretches and ids of added tokens, in order."""
        parts: list[str | int] = []
        position = 0
        for match in re.finditer(self.pattern, text) if self.ids else ():
            parts.append(text[position : match.start()])
            token = match.group()
            parts.append(self.ids[token if token in self.ids else token.strip()])
            position = match.end()
        parts.append(text[position:])
        return [part for part in parts if part != ""]


def read_special_tokens(tokenizer: Mapping[str, Any]) -> SpecialTokens:
    """The SpecialTokens of a parsed tokenizer.json; plain white space is none."""
    added = [token for token in tokenizer.get("added_tokens") or [] if token["content"].strip()]
    # The longest comes first where one begins like another.
    added.sort(key=lambda token: -len(token["content"]))
    return SpecialTokens(
        ids={token["content"]: token["id"] for token in added},
        pattern="|".join(map(_pattern, added)),
        opening_ids=_opening(tokenizer.get("post_processor") or {}),
    )


def _pattern(token: Mapping[str, Any]) -> str:
    pattern = re.escape(str(token["content"]))
    if token.get("single_word"):
        pattern = rf"(?<!\w){pattern}(?!\w)"
    before = r"\s*" if token.get("lstrip") else ""
    after = r"\s*" if token.get("rstrip") else ""
    return before + pattern + after


def _opening(post_processor: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids that a post-processor puts before a single text: usually bos or none."""
    ids: list[int] = []
    for processor in post_processor.get("processors", [post_processor]):
        for piece in processor.get("single", []):
            if "SpecialToken" not in piece:
                break
            ids += processor["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
    return tuple(ids)
