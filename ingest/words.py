"""Text as the words it is searched and compared by."""

from __future__ import annotations

import re

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\W_]+")


def words(text: str) -> list[str]:
    """The words in lower case, numbers too; Chinese and Japanese as pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word[0] < "\u3040" or word[0] > "\ufaff" or "\u9fff" < word[0] < "\uf900":
            found.append(word)
        elif len(word) == 1:
            found.append(word)
        else:
            found += (word[index : index + 2] for index in range(len(word) - 1))
    return found
