import csv
import io

from longctx.cli.form_table import form_table


def rows(forms):
    return list(csv.reader(io.StringIO(form_table(forms))))


def test_each_document_is_a_row_and_each_field_of_any_a_column():
    forms = {
        "a.txt": {"party": "Ann, Bea", "rent": {"sum": 1250.5, "paid": True}, "rooms": ["k", 2]},
        "b.txt": {"party": None, "pets": [{"kind": "cat"}], "rooms": []},
        "c.txt": None,
    }
    assert rows(forms) == [
        ["document", "party", "rent.sum", "rent.paid", "rooms", "pets"],
        ["a.txt", "Ann, Bea", "1250.5", "true", "k; 2", ""],
        ["b.txt", "", "", "", "", '[{"kind": "cat"}]'],
        ["c.txt", "", "", "", "", ""],
    ]


def test_a_value_alone_has_a_column_of_its_own():
    assert rows({"a.txt": "Ulm", "b.txt": ["x", "y"]}) == [
        ["document", "answer"], ["a.txt", "Ulm"], ["b.txt", "x; y"],
    ]  # fmt: skip


def test_what_a_spreadsheet_would_calculate_is_text():
    forms = {"=a.txt": {"f": '=HYPERLINK("x")', "g": "-12.5", "h": "@sum", "i": "+1+2", "k": "a=b"}}
    assert rows(forms)[1] == ["'=a.txt", '\'=HYPERLINK("x")', "-12.5", "'@sum", "'+1+2", "a=b"]
