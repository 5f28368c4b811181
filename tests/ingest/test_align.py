from pathlib import Path

import pytest

from longctx.ingest.align import Pair, align
from longctx.ingest.document import Document, Segment
from longctx.ingest.segment import segments

LICENCES = Path("/usr/share/common-licenses")
needs_licences = pytest.mark.skipif(not LICENCES.is_dir(), reason="no licences here")


def clauses(*texts: str) -> list[Segment]:
    document = Document("a", "\n".join(texts), "prose", "00")
    found, start = [], 0
    for text in texts:
        heading = text.split(".")[0]
        found.append(Segment(document, start, start + len(text), heading, 1))
        start += len(text) + 1
    return found


PAYMENT = "Payment. The buyer pays within thirty days of the invoice."
WARRANTY = "Warranty. The seller warrants the goods for two years against defects."
COURT = "Courts. Disputes are heard by the courts of Zurich under Swiss law."


def kinds(pairs: tuple[Pair, ...]) -> list[str]:
    return [pair.kind for pair in pairs]


def test_clauses_that_moved_are_found_again() -> None:
    changed = PAYMENT.replace("thirty", "ten")
    pairs = align(clauses(PAYMENT, WARRANTY, COURT), clauses(COURT, WARRANTY, changed))
    assert kinds(pairs) == ["changed", "same", "same"]
    assert pairs[0].right is not None and "ten days" in pairs[0].right.text
    assert 0.3 < pairs[0].similarity < 1


def test_what_only_one_side_has_stands_alone_at_its_place() -> None:
    pairs = align(clauses(PAYMENT, COURT), clauses(PAYMENT, WARRANTY))
    assert kinds(pairs) == ["same", "added", "removed"]
    assert pairs[1].right is not None and pairs[1].right.heading == "Warranty"


def test_line_breaks_are_no_change() -> None:
    pairs = align(clauses(PAYMENT), clauses(PAYMENT.replace(" ", "\n  ")))
    assert kinds(pairs) == ["same"]


def test_an_empty_side() -> None:
    assert kinds(align([], clauses(PAYMENT))) == ["added"]
    assert kinds(align(clauses(PAYMENT), [])) == ["removed"]
    assert align([], []) == ()


def licence_pairs(left: str, right: str) -> tuple[tuple[Pair, ...], dict[str, str]]:
    sides = [
        segments(Document(name, (LICENCES / name).read_text(), "prose", "00"))
        for name in (left, right)
    ]
    pairs = align(*sides)
    for side, number in zip(("left", "right"), (0, 1), strict=True):
        held = [getattr(pair, side) for pair in pairs if getattr(pair, side) is not None]
        assert sorted(item.start for item in held) == [item.start for item in sides[number]]
    return pairs, {
        pair.left.heading.split(" ")[0]: pair.right.heading.split(" ")[0]
        for pair in pairs
        if pair.left is not None and pair.right is not None
    }


@needs_licences
def test_gpl_2_and_gpl_3() -> None:
    pairs, numbers = licence_pairs("GPL-2", "GPL-3")
    expected = {"1.": "4.", "2.": "5.", "3.": "6.", "5.": "9.", "6.": "10.", "7.": "12."}
    expected |= {"9.": "14.", "11.": "15.", "12.": "16."}
    assert expected.items() <= numbers.items()
    added = [pair.right.heading for pair in pairs if pair.kind == "added" and pair.right]
    assert {"11. Patents.", "13. Use with the GNU Affero General Public License."} <= set(added)


@needs_licences
def test_mozilla_1_1_and_2_0() -> None:
    _, numbers = licence_pairs("MPL-1.1", "MPL-2.0")
    expected = {"1.": "1.", "4.": "4.", "6.": "10.", "7.": "6.", "8.": "5.", "9.": "7."}
    assert expected.items() <= numbers.items()
    assert numbers["3.7."] == "3.3."


@needs_licences
def test_gfdl_1_2_and_1_3() -> None:
    pairs, numbers = licence_pairs("GFDL-1.2", "GFDL-1.3")
    assert all(numbers[f"{number}."] == f"{number}." for number in range(11))
    assert [pair.right.heading for pair in pairs if pair.kind == "added" and pair.right] == [
        "11. RELICENSING"
    ]
    assert [pair.left.heading for pair in pairs if pair.kind == "same" and pair.left] == [
        "0. PREAMBLE",
        "2. VERBATIM COPYING",
        "3. COPYING IN QUANTITY",
        "4. MODIFICATIONS",
        "5. COMBINING DOCUMENTS",
        "6. COLLECTIONS OF DOCUMENTS",
        "7. AGGREGATION WITH INDEPENDENT WORKS",
        "8. TRANSLATION",
    ]
