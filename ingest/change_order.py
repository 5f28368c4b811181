"""Files in the order in which they last changed, so that what changes often stands at the end."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.ingest.document import Source


def by_last_change(sources: Sequence[Source]) -> list[Source]:
    """Returns the Sources by the time of their files' last change, the latest at the end.

    What was read once is known as far as nothing before it differs, so that a file that is edited
    again and again costs no more than itself there. Sources without a file come first; otherwise
    those of the same time stay in the order given.
    """
    return sorted(sources, key=_changed)


def _changed(source: Source) -> int:
    if source.path is None or source.data is not None:
        return 0
    try:
        return source.path.stat().st_mtime_ns
    except OSError:
        # whoever reads it says what is wrong with it
        return 0
