"""Any tokenizer.json through the tokenizers library: exact by definition, a tenth of the speed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.runtime.special_tokens import SpecialTokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class LibraryCodec:
    """Text to token ids and back by the tokenizer.json at `path`."""

    path: Path
    specials: SpecialTokens

    def encode(self, text: str) -> list[int]:
        """The token ids of ordinary text, in which an added token is text like any other."""
        ids = self._ids(text)
        spelled = {self.specials.ids[token] for token in self._contents.findall(text)}
        if spelled.isdisjoint(ids):
            return ids
        # The vocabulary itself holds the token (Unigram's <s>): cut it after its first letter.
        cuts = [match.start() + 1 for match in self._contents.finditer(text)]
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return [id for part in parts for id in self._ids(part)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, added tokens included."""
        return self._whole.decode(ids, skip_special_tokens=False)

    def _ids(self, text: str) -> list[int]:
        return self._ordinary.encode(text, add_special_tokens=False).ids

    @cached_property
    def _contents(self) -> re.Pattern[str]:
        """Finds the added tokens, or nothing where there are none."""
        return re.compile("|".join(map(re.escape, self.specials.ids)) or r"(?!)")

    @cached_property
    def _whole(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.path))

    @cached_property
    def _ordinary(self) -> Tokenizer:
        """The tokenizer without its added tokens, but for those that are plain white space."""
        from tokenizers import Tokenizer

        content = json.loads(self.path.read_bytes())
        added = content.get("added_tokens") or []
        content["added_tokens"] = [token for token in added if not token["content"].strip()]
        content["truncation"] = content["padding"] = content["post_processor"] = None
        return Tokenizer.from_str(json.dumps(content))
