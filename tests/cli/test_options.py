from dataclasses import dataclass
from inspect import signature
from typing import Annotated

from longctx.cli.options import spread


@dataclass(frozen=True, slots=True)
class Colors:
    ink: Annotated[str, "ink"] = "black"
    paper: str = "white"


def paint(name: str, colors: Colors, times: int = 1) -> int:
    """Paint."""
    return len(f"{name}{colors.ink}{colors.paper}") * times


def test_a_dataclass_becomes_flat_parameters_and_is_folded_back():
    flat = spread(paint)
    assert list(signature(flat).parameters) == ["name", "ink", "paper", "times"]
    assert signature(flat).parameters["ink"].default == "black"
    assert signature(flat).parameters["ink"].annotation.__metadata__ == ("ink",)
    assert flat(name="a", ink="red", paper="blue", times=2) == len("aredblue") * 2
    assert flat.__doc__ == "Paint."
