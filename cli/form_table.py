"""Forms as a table of comma-separated values: a row for each Document."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

# With these a spreadsheet begins to calculate, and a Document is nothing to obey.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def form_table(forms: Mapping[str, Any]) -> str:
    """The table: the Documents' names, then a column for each field that any form has."""
    rows = {name: dict(_cells(form)) for name, form in forms.items()}
    columns = list(dict.fromkeys(path for row in rows.values() for path in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["document", *map(_safe, columns)])
    for name, row in rows.items():
        writer.writerow([_safe(name), *(_safe(row.get(column, "")) for column in columns)])
    return out.getvalue()


def _cells(form: Any, path: str = "") -> list[tuple[str, str]]:
    """The cells of a form, each with its path; a list of plain values is one cell."""
    if isinstance(form, dict):
        return [
            cell
            for key, value in form.items()
            for cell in _cells(value, f"{path}.{key}" if path else key)
        ]
    if form is None:
        return [(path, "")] if path else []
    if isinstance(form, list):
        plain = not any(isinstance(value, dict | list) for value in form)
        return [(path or "answer", "; ".join(map(_said, form)) if plain else json.dumps(form))]
    return [(path or "answer", _said(form))]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _safe(cell: str) -> str:
    """The cell, set apart as text where a spreadsheet would take it for a formula."""
    if cell.startswith(_FORMULA) and not cell[1:].replace(".", "", 1).isdecimal():
        return f"'{cell}"
    return cell
