from pathlib import Path

import pytest

from longctx.ingest.clauses import clauses


def labels(text: str) -> list[str]:
    return [clause.label for clause in clauses(text)]


def test_inner_clauses_bear_the_numbers_around_them() -> None:
    text = (
        "1. Terms.\n1.1 Price\n1.2 Payment, that is:\n(a) in full, and\n(i) at once;\n"
        "(ii) in cash;\n"
        "(b) in part.\n2. Law\nSection 2.1 Place.\n(a) here\n"
    )
    assert labels(text) == [
        *("1", "1.1", "1.2", "1.2(a)", "1.2(a)(i)", "1.2(a)(ii)", "1.2(b)", "2", "2.1", "2.1(a)")
    ]
    assert "".join(text[clause.start : clause.end] for clause in clauses(text)) == text
    assert [text[clause.start :].split()[0] for clause in clauses(text)][4] == "(i)"


def test_the_ninth_letter_is_told_from_the_first_numeral() -> None:
    letters = "".join(f"({letter}) x\n" for letter in "abcdefghij")
    assert labels(f"1. List\n{letters}")[-2:] == ["1(i)", "1(j)"]
    assert labels("1. List\n(i) x\n(ii) x\n(iii) x\n(iv) x\n(v) x\n(vi) x\n")[-1] == "1(vi)"


def test_marks_on_one_line_and_chinese_clauses() -> None:
    assert labels("1. First\n1.1(a)(i) both\n(ii) next\n") == ["1", "1.1(a)(i)", "1.1(a)(ii)"]
    assert labels("第一条 合同\n(1) 甲方\n(2) 乙方\n第二条 期限\n") == [
        *("第一条", "第一条(1)", "第一条(2)", "第二条")
    ]


def test_numbers_that_do_not_count_on_are_no_clauses() -> None:
    assert labels("1. First\n1984 was a year\n12. of May\n(z) odd\n2. Second\n") == ["1", "2"]
    assert labels("no numbers\n(a) a list without one\n") == []


@pytest.mark.skipif(not Path("/usr/share/common-licenses/GPL-3").is_file(), reason="no licences")
def test_the_clauses_of_a_real_licence() -> None:
    found = labels(Path("/usr/share/common-licenses/GPL-3").read_text())
    assert [label for label in found if label.isdigit()] == [str(n) for n in range(18)]
    assert [label for label in found if label.startswith("5(")] == ["5(a)", "5(b)", "5(c)", "5(d)"]
