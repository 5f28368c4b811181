"""The forms that a compiled loop comes in, and which of them this processor can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from llvmlite import binding

T = TypeVar("T")

Features = Sequence[frozenset[str]]
"""What a form needs of a processor, in LLVM's names: all of any one of these."""


@cache
def may_use_tiles() -> bool:
    """Returns whether the system lets this process use tiles, which it must be asked for."""
    # torch asks for its own products, and has no public question for this
    return bool(getattr(torch.cpu, "_init_amx", bool)())


def processor() -> Any:
    """Returns what this processor has, by LLVM's names of it, as far as it may be used."""
    features = binding.get_host_cpu_features()
    for name in features:
        features[name] &= may_use_tiles() or not name.startswith("amx")
    return features


@dataclass(frozen=True, slots=True)
class Forms(Generic[T]):
    """Forms by name, the fastest first, each with what it needs."""

    table: Mapping[str, tuple[Features, T]]
    _forced: list[str] = field(default_factory=list)

    def possible(self) -> list[str]:
        """Returns the names of those that this processor can run, the fastest first."""
        has = {name for name, there in processor().items() if there}
        return [
            name
            for name, (needs, _) in self.table.items()
            if any(features <= has for features in needs)
        ]

    @property
    def chosen(self) -> str:
        """The name of the form that loops are compiled in."""
        return self._forced[-1] if self._forced else self.possible()[0]

    @property
    def form(self) -> T:
        """The form that loops are compiled in."""
        return self.table[self.chosen][1]

    @contextmanager
    def forced(self, name: str) -> Iterator[None]:
        """Let what is imported and compiled meanwhile use this form."""
        self._forced.append(name)
        try:
            yield
        finally:
            self._forced.pop()
