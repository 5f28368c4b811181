"""Facts of a set of papers: which of them cites which, told by the titles in their references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.ingest.document import Document, Segment
from longctx.ingest.paper import Paper, paper

# A title of fewer letters may stand in a list of references by chance.
_MIN_LETTERS = 16


@dataclass(frozen=True, slots=True)
class CitedPaper:
    """A paper of the set that another one lists: the names of both, and the entry that does it."""

    citing: str
    cited: str
    entry: Segment


def cited_papers(documents: Sequence[Document]) -> tuple[CitedPaper, ...]:
    """Each citation of one paper of the set by another, in the order of the Documents."""
    papers = {document.name: found for document in documents if (found := paper(document))}
    titles = {name: _letters(found.title) for name, found in papers.items() if found.title}
    return tuple(
        CitedPaper(name, cited, entry)
        for name, found in papers.items()
        for cited, entry in _cited(found, name, titles)
    )


def _cited(found: Paper, name: str, titles: dict[str, str]) -> list[tuple[str, Segment]]:
    listed = [(entry, _letters(entry)) for entry in found.references]
    return [
        (cited, entry)
        for cited, title in titles.items()
        if cited != name and len(title) >= _MIN_LETTERS
        for entry in [next((entry for entry, letters in listed if title in letters), None)]
        if entry is not None
    ]


def _letters(segment: Segment) -> str:
    """The letters and digits only: line ends, hyphens and quotes are set in many ways."""
    return "".join(filter(str.isalnum, segment.text.casefold()))
