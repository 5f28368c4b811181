import pytest

from longctx.prompts.changed_facts import changed_facts, facts


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("within 30 days", "within 60 days", (("30 days",), ("60 days",))),
        ("pay $1,000.50 by 5 May 2024", "pay $1,000.50 by 6 May 2024",
         (("5 May 2024",), ("6 May 2024",))),
        ("rate of 5 %", "rate of 7.5%", (("5 %",), ("7.5%",))),
        ("on 2024-01-31", "on  2024-01-31", ((), ())),
        ("line 4 and line 4", "line 4", (("4",), ())),
        ("version2 of x3", "version3 of x4", ((), ())),
        ("ten  days 3\nmonths", "ten days 3 months", ((), ())),
        ("", "€20", ((), ("€20",))),
    ],
)  # fmt: skip
def test_changed_facts(left: str, right: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert changed_facts(left, right) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  1. You may pay 5 dollars.", {"5"}),
        ("(2) as sections 15 and 16 say", set()),
        ("under Section 8.4, within 10 days", {"10 days"}),
        ("§ 3 or clause 4, 5 and 6 of 1999", {"1999"}),
        ("Version 3 has 12 articles", {"3", "12"}),
    ],
)
def test_the_numbers_of_clauses_are_no_facts(text: str, expected: set[str]) -> None:
    assert set(facts(text)) == expected
