"""The sentences of a part that say most of what it is about: chosen by code, so that they are true.

A sentence is worth the words it shares with its part, each by how often the part has it and how
rare it is in the other paragraphs of the Document (Radev et al. 2004, "Centroid-based summarization
of multiple documents", section 3).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from longctx.ingest.document import Segment
from longctx.ingest.words import words

_END = re.compile(
    r"(?<![A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|No|vs|cf)\.)(?<!\b(?:Mrs|Rev|Col|Gen|etc|Sec|Art|e\.g|i\.e)\.)"
    r"(?<=[.!?])[\"”’')\]]*\s+(?=[\"“‘'(]?[A-Z0-9])|(?<=[。！？])[」』”]?|\n\s*\n"
)
_SHORTEST, _LONGEST = 30, 320
# What somebody says stands for less of a part than what is told.
_SAID = 0.6
# A second sentence should say something else.
_SHARED = 0.5


def key_sentences(parts: Sequence[Segment], part: Segment, count: int) -> list[tuple[int, int]]:
    """The ranges in the Document of the `count` best sentences of `part`, one of `parts`."""
    rarity = _rarity(parts)
    weights = {
        word: (1 + math.log(number)) * rarity.get(word, 0.0)
        for word, number in Counter(words(part.text)).items()
    }
    scored: list[tuple[float, tuple[int, int], frozenset[str]]] = []
    for start, end in sentences(part.text):
        sentence = part.text[start:end]
        if not _SHORTEST <= len(sentence) <= _LONGEST or sentence.startswith("#"):
            continue
        said = words(sentence)
        worth = sum(weights[word] for word in set(said)) / math.sqrt(len(said) + 8)
        worth *= _SAID if _is_spoken(part.text, start, end) else 1.0
        scored.append((worth, (part.start + start, part.start + end), frozenset(said)))
    scored.sort(key=lambda item: -item[0])
    chosen: list[tuple[tuple[int, int], frozenset[str]]] = []
    for _, place, said_words in scored:
        if all(len(said_words & other) < _SHARED * len(said_words) for _, other in chosen):
            chosen.append((place, said_words))
        if len(chosen) == count:
            break
    return sorted(place for place, _ in chosen)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of `text` begin and end, white space around them left out."""
    start = 0
    for end, following in (*((at.start(), at.end()) for at in _END.finditer(text)), (len(text), 0)):
        # a closing quotation mark belongs to the sentence before it
        end += len(text[end:following]) - len(text[end:following].lstrip("\"”’')]」』"))
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
        start = following


def _is_spoken(text: str, start: int, end: int) -> bool:
    """Whether the sentence begins with a quotation mark or within quotation marks."""
    before = text[text.rfind("\n\n", 0, start) + 1 : start]
    opened = before.count("“") - before.count("”") + before.count('"') % 2
    return opened > 0 or text[start] in '"“‘「『'


def _rarity(parts: Sequence[Segment]) -> dict[str, float]:
    """How rare each word is among the paragraphs of all parts."""
    paragraphs = [set(words(text)) for part in parts for text in re.split(r"\n\s*\n", part.text)]
    spread = Counter(word for paragraph in paragraphs for word in paragraph)
    return {word: math.log(len(paragraphs) / number) for word, number in spread.items()}
