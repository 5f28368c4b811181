"""How fast this machine read and wrote with each model: remembered after runs, never guessed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """One prompt that was read, and what was written after it."""

    num_tokens: int
    reading_seconds: float
    written: int = 0
    writing_seconds: float = 0.0


def recall(root: Path, key: str) -> list[Reading]:
    """The Readings remembered under `key`, oldest first; none from a file that is not ours."""
    try:
        stored = json.loads((root / "speed.json").read_text(encoding="utf-8"))
        return [Reading(**fields) for fields in stored[key]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember(root: Path, key: str, reading: Reading) -> None:
    """Keep the Reading; the oldest under `key` go."""
    path = root / "speed.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored, dict):
        stored = {}
    kept = [*recall(root, key), reading][-KEPT:]
    stored[key] = [asdict(item) for item in kept]
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    draft.replace(path)


def expected_seconds(readings: list[Reading], num_tokens: int) -> float | None:
    """The seconds to read `num_tokens`, from the Readings nearest in length; None without any."""
    known = [item for item in readings if item.num_tokens > 0 and item.reading_seconds > 0]
    if not known:
        return None
    nearest = sorted(known, key=lambda item: abs(math.log(item.num_tokens / max(1, num_tokens))))
    rates = sorted(item.num_tokens / item.reading_seconds for item in nearest[:3])
    return num_tokens / rates[len(rates) // 2]
