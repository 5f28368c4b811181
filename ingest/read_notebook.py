"""Jupyter notebooks, cell by cell: text, code, and outputs trimmed; images stay out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from longctx.ingest.document import Document, Heading, Skipped, Source, numbered
from longctx.ingest.draft import Draft
from longctx.ingest.headings import markdown_headings
from longctx.ingest.page_text import page_text
from longctx.ingest.read_text import read_text

# An output longer than this keeps its first and its last lines.
MAX_LINES = 40
KEPT_LINES = (25, 10)
MAX_LINE = 1000

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
_INLINE_IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=\s]+")
_FENCE = re.compile(r"^`{3,}", re.M)


def read_notebook(source: Source, data: bytes) -> Document | Skipped:
    """The Document in a notebook, its cells as Pages; what is no notebook is read as text."""
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        return read_text(source, data)
    cells = _cells(notebook)
    if cells is None:
        return read_text(source, data)
    language = _language(notebook)
    draft = Draft()
    trimmed: list[int] = []
    num_images = 0
    for number, cell in enumerate(cells, 1):
        headings: list[Heading] = []
        text, images = _INLINE_IMAGE.subn("[image left out]", _joined(_source(cell)))
        num_images += images
        if cell.get("cell_type") == "code":
            parts = [_fenced(text, language)] if text.strip() else []
            for output in _dicts(cell.get("outputs")):
                shown, is_image = _output(output)
                num_images += is_image
                short = _trimmed(shown)
                if short != shown:
                    trimmed.append(number)
                if short.strip():
                    parts.append("Output:\n" + _fenced(short, ""))
            text = "\n".join(parts)
        else:
            headings = list(markdown_headings(text))
        text = text.rstrip() + "\n\n" if text.strip() else ""
        start = draft.add_page(text, "cell")
        draft.headings += (replace(item, start=start + item.start) for item in headings)
    if not draft.text:
        return Skipped(source.name, "empty")
    notes = []
    if trimmed:
        notes.append(f"outputs trimmed in {numbered('cell', sorted(set(trimmed)))}")
    if num_images:
        notes.append(f"{num_images} image{'s' if num_images > 1 else ''} left out")
    return draft.document(source, data, notes, kind="markdown")


def _cells(notebook: Any) -> list[dict[str, Any]] | None:
    """The cells of a notebook, also of the format before 4, which kept them in worksheets."""
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return _dicts(notebook["cells"])
    if not isinstance(notebook.get("worksheets"), list):
        return None
    return [cell for sheet in _dicts(notebook["worksheets"]) for cell in _dicts(sheet.get("cells"))]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _source(cell: dict[str, Any]) -> Any:
    if cell.get("cell_type") == "heading":
        level = cell.get("level")
        return (
            "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1)
            + " "
            + _joined(cell.get("source"))
        )
    return cell.get("source", cell.get("input", ""))


def _joined(value: Any) -> str:
    """A text that the format may cut into a list of lines."""
    if isinstance(value, list):
        value = "".join(line for line in value if isinstance(line, str))
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else ""


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        told = metadata.get(part) if isinstance(metadata, dict) else None
        name = told.get(key) if isinstance(told, dict) else None
        if isinstance(name, str) and re.fullmatch(r"[\w+#.-]{1,30}", name):
            return name.lower()
    return ""


def _output(output: dict[str, Any]) -> tuple[str, bool]:
    """The text of an output, and whether it holds an image."""
    held = output.get("data")
    told: dict[str, Any] = held if isinstance(held, dict) else output
    is_image = any(str(key).startswith("image/") or key in ("png", "jpeg", "svg") for key in told)
    if "traceback" in output:
        lines = output["traceback"]
        text = "\n".join(map(str, lines)) if isinstance(lines, list) else ""
    else:
        text = _joined(told.get("text/plain", told.get("text", "")))
        if not text.strip():
            markup = _joined(told.get("text/html", told.get("html", "")))
            text = _joined(told.get("text/markdown", "")) or page_text(markup).text
    text = _ESCAPES.sub("", text)
    # `<Figure size 640x480 with 1 Axes>` says no more than that there was an image.
    return ("" if is_image and text.startswith("<") else text), is_image


def _trimmed(text: str) -> str:
    """The first and last lines of a long output, with a line that says what is left out."""
    lines = list(_shortened(text.rstrip("\n").split("\n")))
    if len(lines) > MAX_LINES:
        first, last = KEPT_LINES
        left_out = f"[{len(lines) - first - last:,} lines left out]"
        lines = [*lines[:first], left_out, *lines[-last:]]
    return "\n".join(lines) + "\n" * text.endswith("\n")


def _shortened(lines: list[str]) -> Iterator[str]:
    for line in lines:
        more = len(line) - MAX_LINE
        yield f"{line[:MAX_LINE]} [{more:,} characters left out]" if more > 50 else line


def _fenced(text: str, language: str) -> str:
    """The text between fences longer than any in it."""
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCE.findall(text)), 0)
    end = "" if text.endswith("\n") else "\n"
    return f"{fence}{language}\n{text}{end}{fence}\n"
