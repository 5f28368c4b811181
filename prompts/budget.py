"""How many tokens a Pack may take, and a guess at tokens where no model is at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Han, kana and hangul: measured at about 1.2 characters a token, other scripts at about 4.
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens of the window, and how many of them are spoken for (system text, question, answer)."""

    window: int
    reserved: int = 0

    @property
    def num_tokens(self) -> int:
        """The tokens that the documents and their contents list may take."""
        return max(0, self.window - self.reserved)


def estimate(text: str) -> int:
    """A guess at the number of tokens of `text`, for use before any tokenizer is installed."""
    num_cjk = 0 if text.isascii() else sum(map(len, _CJK.findall(text)))
    return round((len(text) - num_cjk) / 4 + num_cjk / 1.2) if text else 0
