"""Loads the prompts beside this file and fills their `$names`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template


@cache
def load(name: str) -> str:
    """The prompt `name`.md as written, without the newline at its end."""
    return Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8").rstrip("\n")


def fill(name: str, /, **values: str) -> str:
    """The prompt `name`.md with every `$name` replaced; values are not looked into again.

    Raises:
        KeyError: A name in the prompt has no value, or a value has no name in the prompt.
    """
    template = Template(load(name))
    wanted = set(template.get_identifiers())
    if missing := sorted(wanted - values.keys()):
        raise KeyError(f"prompts/{name}.md needs a value for ${missing[0]}")
    if unused := sorted(values.keys() - wanted):
        raise KeyError(f"prompts/{name}.md has no ${unused[0]}")
    return template.substitute(values)
