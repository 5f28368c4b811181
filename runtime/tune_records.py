"""What a run of `tune` has measured so far: JSON Lines that an interrupted run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """What a checked row of one layer had, and what it needed, as lists by head.

    As in `kernels.needs.Needs`: the share of full attention that each head had, the Blocks that
    each KV head took, and the Blocks that the wanted fidelity and an ample one would have taken,
    each with whether the predicted mass lets so many in.
    """

    layer: int
    position: int
    recalls: tuple[float, ...]
    taken: tuple[int, ...]
    needed: tuple[int, ...]
    needed_let_in: tuple[bool, ...]
    ample: tuple[int, ...]
    ample_let_in: tuple[bool, ...]


class TuneRecords:
    """The Samples of every pass over the text, kept Step by Step; `told` is what they hold for.

    Another model, text, length or setting makes them worthless, and they begin anew.
    """

    def __init__(self, path: Path, told: Mapping[str, Any]) -> None:
        """Read what an earlier run left; a line that was cut short counts for nothing."""
        self._path, self._told = path, json.dumps(told, sort_keys=True)
        self._ends: dict[int, int] = {}
        self._samples: dict[int, dict[tuple[int, int], Sample]] = {}
        self._torn = False
        stored = path.read_text(encoding="utf-8") if path.is_file() else ""
        first, *lines = stored.split("\n")
        self.is_foreign = bool(stored) and first != self._told
        if first != self._told:
            path.write_text(f"{self._told}\n", encoding="utf-8")
            return
        self._torn = not stored.endswith("\n")
        for line in lines:
            try:
                step = json.loads(line)
                samples = [_sample(raw) for raw in step["samples"]]
                self._know(step["pass"], step["start"], step["end"], samples)
            except (ValueError, KeyError, TypeError):
                continue

    def end(self, number: int) -> int:
        """Returns up to which position a pass has been measured without a gap."""
        return self._ends.get(number, 0)

    def samples(self, number: int) -> list[Sample]:
        """Returns the Samples of a pass in order."""
        known = self._samples.get(number, {})
        return [known[key] for key in sorted(known)]

    def add(self, number: int, start: int, end: int, samples: Sequence[Sample]) -> None:
        """Keep the Samples of the tokens [start, end) of a pass."""
        step = {
            "pass": number,
            "start": start,
            "end": end,
            "samples": [asdict(sample) for sample in samples],
        }
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write("\n" * self._torn + json.dumps(step) + "\n")
        self._torn = False
        self._know(number, start, end, samples)

    def remove(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)

    def _know(self, number: int, start: int, end: int, samples: Sequence[Sample]) -> None:
        if start <= self.end(number):
            self._ends[number] = max(end, self.end(number))
            known = self._samples.setdefault(number, {})
            known |= {(sample.layer, sample.position): sample for sample in samples}


def _sample(raw: Mapping[str, Any]) -> Sample:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    return Sample(**fields)
