"""The new files of a diff, found where they lie and held to what the diff says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.cli.options import SourceOptions

if TYPE_CHECKING:
    from longctx.ingest.document import Document
    from longctx.prompts.review_change import Change


@dataclass(frozen=True, slots=True)
class Changes:
    """The Changes of all diffs, and the names of the code files whose new text is not here."""

    known: tuple[Change, ...]
    unknown: tuple[str, ...]


def find_changes(
    documents: Iterable[Document], paths: Sequence[str] | None, options: SourceOptions
) -> Changes:
    """The Changes of the diffs among the Documents.

    The new files are those of the revision that is asked for, else those on the disk: below the
    paths, or for a diff from a pipe below this directory and the repository that holds it.
    """
    from longctx.ingest.code_languages import language_of
    from longctx.prompts.diff import changed_files
    from longctx.prompts.review_change import change

    pairs = [(diff, one) for diff in documents for one in changed_files(diff)]
    names = {one.name for _, one in pairs}
    at_revision = _at_revision(paths, options.rev, names) if pairs and options.rev else {}
    roots = _roots(paths, options)
    known: dict[str, Change] = {}
    unknown: list[str] = []
    for diff, changed in pairs:
        if changed.is_removed or language_of(changed.name) is None:
            continue
        files: Iterable[Document] = at_revision.get(changed.name, ())
        if not options.rev:
            files = _on_disk(changed.name, roots)
        found = (change(diff, changed, file) for file in [*files, None])
        whole = next((one for one in found if one is not None), None)
        if whole is None or changed.name in known:
            unknown.append(changed.name)
        else:
            known[changed.name] = whole
    return Changes(tuple(known.values()), tuple(unknown))


def _roots(paths: Sequence[str] | None, options: SourceOptions) -> list[Path]:
    """The directories that the names in a diff may start from."""
    if options.diff:
        given = [Path(path) for path in paths or ["."]]
        return [path if path.is_dir() else path.parent for path in given]
    here = Path.cwd()
    above = [here, *here.parents]
    top = next((index for index, path in enumerate(above) if (path / ".git").exists()), 0)
    return above[: top + 1]


def _on_disk(name: str, roots: Iterable[Path]) -> Iterator[Document]:
    """The files of that name below the roots; a diff can name none beside them."""
    from longctx.ingest.document import Document, Source
    from longctx.ingest.read import read

    for root in roots:
        path = (root / name).resolve()
        if path.is_relative_to(root.resolve()) and path.is_file():
            file = read(Source(name, path=path))
            if isinstance(file, Document):
                yield file


def _at_revision(
    paths: Sequence[str] | None, revision: str, names: set[str]
) -> dict[str, list[Document]]:
    """The files of those names as git holds them at the revision."""
    from longctx.ingest.document import Document, Source, printable
    from longctx.ingest.read import read
    from longctx.ingest.repository import files_at

    found: dict[str, list[Document]] = {}
    for path in paths or ["."]:
        root = path if Path(path).is_dir() else str(Path(path).parent)
        for source in files_at(root, "", revision):
            name = printable(source.name)
            if isinstance(source, Source) and name in names:
                file = read(Source(name, data=source.data))
                if isinstance(file, Document):
                    found.setdefault(name, []).append(file)
    return found
