import re
from pathlib import Path

import pytest

from longctx.prompts import template

FOLDER = Path(template.__file__).parent


def test_a_missing_name_is_named() -> None:
    with pytest.raises(KeyError, match=r"prompts/ask_join.md needs a value for \$answers"):
        template.fill("ask_join", question="why?")


def test_a_value_without_a_place_is_named() -> None:
    with pytest.raises(KeyError, match=r"prompts/ask.md has no \$colour"):
        template.fill("ask", beside="", question="why?", colour="blue")


def test_values_are_not_looked_into_again() -> None:
    asked = "pay $amount or ${name}"
    assert f"$questionQuestion: {asked}" in template.fill("ask", beside="$question", question=asked)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_every_prompt_is_used_and_has_no_stray_dollar(path: Path) -> None:
    text = template.load(path.stem)
    assert not re.search(r"\$(?![a-z_]|\{[a-z_]+\})", text)
    code = [file.read_text() for folder in ("prompts", "cli") for file in
            (FOLDER.parent / folder).glob("*.py")]  # fmt: skip
    assert any(f'"{path.stem}"' in source for source in code)
