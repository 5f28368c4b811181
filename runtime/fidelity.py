"""How faithful sparse attention was in a run: the recall of the rows that were checked."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Checked:
    """One head's share of full attention that went to what was chosen for the row."""

    recall: float
    layer: int
    head: int
    position: int


@dataclass(slots=True)
class RecallMeter:
    """Keeps the recall of every checked row and head of a run."""

    recalls: list[float] = field(default_factory=list)
    worst: Checked | None = None

    @property
    def median(self) -> float | None:
        """The median of all recalls; None while nothing was checked."""
        return statistics.median(self.recalls) if self.recalls else None

    def of_layer(self, layer: int) -> Callable[[int, Tensor], None]:
        """Returns what takes the position and the recalls [H] of a row of that layer."""

        def add(position: int, recalls: Tensor) -> None:
            values = recalls.tolist()
            self.recalls += values
            least = min(values)
            if self.worst is None or least < self.worst.recall:
                self.worst = Checked(least, layer, values.index(least), position)

        return add
