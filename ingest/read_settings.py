"""What a user may settle about how Sources are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Changes(StrEnum):
    """What becomes of tracked changes: the text after them, before them, or both with marks."""

    accept = "accept"
    reject = "reject"
    show = "show"


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How Sources are read, where their format leaves a choice.

    `password` opens encrypted files.
    """

    changes: Changes = Changes.accept
    password: str = ""
