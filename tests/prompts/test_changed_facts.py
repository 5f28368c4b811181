import pytest

from longctx.prompts.changed_facts import changed_facts


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("within 30 days", "within 60 days", (("30 days",), ("60 days",))),
        ("pay $1,000.50 by 5 May 2024", "pay $1,000.50 by 6 May 2024",
         (("5 May 2024",), ("6 May 2024",))),
        ("rate of 5 %", "rate of 7.5%", (("5 %",), ("7.5%",))),
        ("on 2024-01-31", "on  2024-01-31", ((), ())),
        ("clause 4 and clause 4", "clause 4", (("4",), ())),
        ("version2 of x3", "version3 of x4", ((), ())),
        ("ten  days 3\nmonths", "ten days 3 months", ((), ())),
        ("", "€20", ((), ("€20",))),
    ],
)  # fmt: skip
def test_changed_facts(left: str, right: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert changed_facts(left, right) == expected
