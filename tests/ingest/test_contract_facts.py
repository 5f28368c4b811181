import pytest

from longctx.ingest.contract_facts import Fact, contract_facts, obligations, parties, terms
from longctx.ingest.document import Document
from longctx.ingest.figures import figures

CONTRACT = """This Services Agreement (the "Agreement") is made as of 5 May 2024 by and between
Acme Widgets, Inc., a Delaware corporation ("Seller"), and Jane Q. Public (the “Buyer”).

1.1 "Fee" means $1,000.50 per month. The Seller shall deliver within 30 days, by May 6, 2024.
The Buyer shall not resell; see Section 8.4. The Buyer may inspect. A fee of 2.5% applies.
"""


def prose(text: str) -> Document:
    return Document("a.txt", text, "prose", "00")


def test_a_contract_in_fixed_forms() -> None:
    found = contract_facts(prose(CONTRACT))
    by_kind: dict[str, list[str]] = {}
    for fact in found:
        by_kind.setdefault(fact.kind, []).append(fact.text)
    assert by_kind == {
        "term": ["Agreement", "Seller", "Buyer", "Fee"],
        "party": ["Acme Widgets, Inc.", "Jane Q. Public"],
        "date": ["5 May 2024", "May 6, 2024"],
        "money": ["$1,000.50"],
        "duration": ["30 days"],
        "percent": ["2.5%"],
        "duty": ["The Seller shall deliver within 30 days, by May 6, 2024."],
        "ban": ["The Buyer shall not resell; see Section 8.4."],
        "right": ["The Buyer may inspect."],
    }
    assert [fact.name for fact in found if fact.kind == "party"] == ["Seller", "Buyer"]


def test_every_fact_leads_back_to_its_characters() -> None:
    for fact in contract_facts(prose(CONTRACT)):
        there = CONTRACT[fact.span.start : fact.span.end]
        assert " ".join(there.split()) == fact.text
        assert fact.span.first_line == CONTRACT[: fact.span.start].count("\n") + 1


# What each licence defines, read by hand.
DEFINED = {
    "GPL-3": {"This License", "covered work", "propagate", "convey", "source code", "contributor",
              "Corresponding Source", "User Product", "Installation Information", "discriminatory"},
    "MPL-2.0": {"Contributor", "Contributor Version", "Contribution", "Covered Software",
                "Incompatible With Secondary Licenses", "Executable Form", "Larger Work", "License",
                "Licensable", "Modifications", "Patent Claims", "Secondary License",
                "Source Code Form", "You", "control"},
    "Apache-2.0": {"License", "Licensor", "Legal Entity", "control", "Your", "Source", "Object",
                   "Work", "Derivative Works", "Contribution", "submitted", "Contributor"},
    "GPL-2": {"Program", "work based on the Program"},
}  # fmt: skip


@pytest.mark.parametrize("name", DEFINED)
def test_the_terms_of_real_licences(corpus_dir, name: str) -> None:
    text = (corpus_dir("licences") / name).read_text()
    found = {fact.text for fact in terms(prose(text))}
    assert DEFINED[name] <= found


def test_the_duties_and_bans_of_a_real_licence(corpus_dir) -> None:
    text = (corpus_dir("licences") / "GPL-3").read_text()
    found: list[Fact] = list(obligations(prose(text)))
    bans = [fact.text for fact in found if fact.kind == "ban"]
    assert any(ban.startswith("You may not impose any further restrictions") for ban in bans)
    duties = [fact.text for fact in found if fact.kind == "duty"]
    assert any("must carry prominent notices" in duty for duty in duties)
    assert list(parties(prose(text))) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on the 5th day of May, 2024", [("date", "5th day of May, 2024")]),
        ("EUR 5.000,00 or 10 business days", [("money", "EUR 5.000,00"),
                                              ("duration", "10 business days")]),
        ("12 apples, 3 percent", [("number", "12"), ("percent", "3 percent")]),
        ("1.2 Grants of 7 rights", [("number", "7")]),
    ],
)  # fmt: skip
def test_figures_have_kinds(text: str, expected: list[tuple[str, str]]) -> None:
    found = list(figures(text))
    assert [(figure.kind, figure.text) for figure in found] == expected
    assert all(text[figure.start : figure.end] == figure.text for figure in found)
