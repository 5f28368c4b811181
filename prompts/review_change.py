"""What a change adds to a file: the whole new file beside the lines that are new in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from longctx.ingest.document import Document
from longctx.ingest.suspicion import Suspicion
from longctx.prompts.diff import ChangedFile, new_lines


@dataclass(frozen=True)
class Change:
    """A file as it stands after a change, and which of its lines, counted from 1, are added."""

    file: Document
    added: frozenset[int]


def change(diff: Document, changed: ChangedFile, file: Document | None) -> Change | None:
    """The Change of one file of a diff; None where the new file is not known whole.

    It is known whole where the diff holds all of it, as of a new file, or where `file` has on
    every line of the diff what the diff says.
    """
    lines = new_lines(diff, changed)
    added = frozenset(number for number, line in lines.items() if line.added)
    if changed.is_new and list(lines) == list(range(1, len(lines) + 1)):
        text = "".join(f"{line.text}\n" for line in lines.values())
        return Change(Document(changed.name, text, "code", diff.digest), added)
    if file is None:
        return None
    rows = file.text.split("\n")
    if any(number > len(rows) or rows[number - 1] != line.text for number, line in lines.items()):
        return None
    return Change(file, added)


def touching(
    found: Iterable[Suspicion], lines: Mapping[str, Collection[int]]
) -> Iterator[Suspicion]:
    """The Suspicions that lie on one of the lines, or are about a place that does."""
    for one in found:
        for span in (one.span, *one.related):
            wanted = lines.get(span.name, ())
            if any(line in wanted for line in range(span.first_line, span.last_line + 1)):
                yield one
                break
