"""The tracked changes of an ODT: what was added and removed, and what is to become of it."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from longctx.ingest.read_settings import Changes

_PARAGRAPHS = frozenset(("text:p", "text:h"))
_DONE = {
    Changes.accept: "accepted",
    Changes.reject: "rejected",
    Changes.show: "shown as {+ +} [- -]",
}


class TrackedChanges:
    """The changes of a text, and which additions are open at the place that is being read."""

    def __init__(self, body: Element, wished: Changes) -> None:
        """Find what the body says of its changes."""
        self._wished = wished
        self._tracked = body.find("text:tracked-changes")
        self._regions: dict[str, Element] = {}
        for region in () if self._tracked is None else self._tracked:
            name = region.get("xml:id") or region.get("text:id") or ""
            self._regions.update((name, child) for child in region)
        self._open: set[str] = set()

    @property
    def hides(self) -> bool:
        """Whether what is being read was added, and additions are rejected."""
        return self._wished is Changes.reject and bool(self._open)

    @property
    def shows(self) -> bool:
        """Whether what is being read was added, and additions are shown."""
        return self._wished is Changes.show and bool(self._open)

    def border(self, element: Element) -> str:
        """What stands where an addition begins or ends."""
        name = element.get("text:change-id", "")
        region = self._regions.get(name)
        if region is None or region.tag != "text:insertion":
            return ""
        before = self.shows
        if element.tag == "text:change-start":
            self._open.add(name)
        else:
            self._open.discard(name)
        return "" if before == self.shows else "{+" if self.shows else "+}"

    def removed(self, element: Element) -> list[Element]:
        """The paragraphs that were removed where this element stands, if they are to be read."""
        region = self._regions.get(element.get("text:change-id", ""))
        if region is None or region.tag != "text:deletion":
            return []
        if self._wished is Changes.accept or self.hides:
            return []
        parts = (child for child in region if child.tag != "office:change-info")
        return [item for part in parts for item in part.iter() if item.tag in _PARAGRAPHS]

    def marked(self, removed: str) -> str:
        """Text that was removed, as it is to be read."""
        return f"[-{removed}-]" if removed and self._wished is Changes.show else removed

    def notes(self) -> Iterator[str]:
        """What a reader should know of the changes."""
        if self._tracked is not None and len(self._tracked):
            names = dict.fromkeys(item.text or "" for item in self._tracked.iter("dc:creator"))
            by = f", by {', '.join(filter(None, names))}" if any(names) else ""
            yield f"tracked changes {_DONE[self._wished]}: {len(self._tracked):,}{by}"
