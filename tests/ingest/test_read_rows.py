import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.ingest import read_rows as reader
from longctx.ingest.document import Document, Source
from longctx.ingest.read import read

NOTICE = re.compile(r"\[([\d,]+) rows? left out\]")


def document(name: str, text: str) -> Document:
    item = read(Source(name, data=text.encode()))
    assert isinstance(item, Document)
    return item


def test_a_table_that_is_not_huge_is_whole() -> None:
    table = document("a.csv", "a,b\n1,2\n")
    assert (table.text, table.notes, table.line_marks) == ("a,b\n1,2\n", (), ())


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson"])
def test_of_a_huge_table_rows_from_all_over_are_shown_at_their_lines(name: str) -> None:
    lines = [f"row {number} of the table" for number in range(1, 100_001)]
    table = document(name, "\n".join(lines) + "\n")
    shown = table.text.split("\n")[:-1]
    assert shown[0] == lines[0] and shown[-1] == lines[-1]
    assert len(table.text) < 1.1 * reader.SAMPLE
    left_out = 0
    for line, start in zip(shown, table.line_starts, strict=False):
        notice = NOTICE.fullmatch(line)
        if notice:
            left_out += int(notice[1].replace(",", ""))
        else:
            assert lines[table.line_at(start) - 1] == line
    num_shown = sum(not NOTICE.fullmatch(line) for line in shown)
    assert left_out == 100_000 - num_shown
    assert table.notes == (
        f"a sample: {num_shown:,} of 100,000 rows in 16 stretches, {left_out:,} rows left out",
    )
    assert table.num_lines == 100_000


def test_rows_with_lines_of_their_own_are_not_torn() -> None:
    text = "".join(f'{number},"first\nsecond, ""x""\nthird"\n' for number in range(60_000))
    table = document("a.csv", text)
    for stretch in NOTICE.split(table.text)[::2]:
        assert re.fullmatch(r'\n?(?:\d+,"first\nsecond, ""x""\nthird"\n)+', stretch) or not stretch
    assert "of 60,000 rows" in table.notes[0]
    start = table.text.rindex("third")
    assert table.line_at(start) == 180_000


def test_a_quote_that_is_never_closed_does_not_make_one_row_of_all() -> None:
    text = '5" pipe,1\n' + "".join(f"row {number},2\n" for number in range(100_000))
    assert "of 100,001 rows" in document("a.csv", text).notes[0]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(st.lists(st.text('ab,\n"', max_size=30), min_size=1, max_size=200))
def test_every_line_shown_is_the_line_of_the_original(rows: list[str]) -> None:
    text = "x,y\n" + "\n".join(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "MAX_CHARACTERS", 50)
        patch.setattr(reader, "SAMPLE", 320)
        table = document("a.csv", text)
    original = text.split("\n")
    for start in table.line_starts:
        end = table.text.find("\n", start)
        line = table.text[start : end if end >= 0 else None]
        if line and not NOTICE.fullmatch(line):
            assert line == original[table.line_at(start) - 1]
