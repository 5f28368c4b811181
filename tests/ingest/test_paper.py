from longctx.ingest.document import Document, Heading, Page
from longctx.ingest.paper import paper, references_start
from longctx.ingest.paper_facts import cited_papers

TEXT = """A Study of Reading Order in
Printed Columns

Ada Byron
University of London

Abstract

We read columns. They are many.

Keywords: columns.

1. Introduction

As Knuth (1984) says, order matters.

2. Methods

We sort.

References

Knuth DE (1984). “Literate Programming.” The Computer
Journal, 27(2), 97–111. doi:10.1093/comjnl/27.2.97.
Noether E (1921). “Idealtheorie in Ringbereichen und mehr.”
Mathematische Annalen, 83, 24–66.
"""


def document(text: str, name: str = "a.pdf", headings: tuple[Heading, ...] = ()) -> Document:
    return Document(name, text, "pdf", "0", (Page(1, 0, len(text)),), headings=headings)


def headed(text: str, name: str = "a.pdf") -> Document:
    titles = ["A Study of Reading Order in Printed Columns", "1. Introduction", "2. Methods"]
    starts = [text.find(title[:12]) for title in [*titles, "References\n"]]
    headings = [Heading(s, t, 1) for s, t in zip(starts, [*titles, "References"], strict=True)]
    return document(text, name, tuple(headings))


def test_every_part_of_a_paper_is_found_at_its_place() -> None:
    found = paper(headed(TEXT))
    assert found is not None and found.title and found.authors and found.abstract
    assert found.title.text == "A Study of Reading Order in\nPrinted Columns"
    assert found.authors.text.split("\n")[-2:] == ["Ada Byron", "University of London"]
    assert found.abstract.text == "We read columns. They are many."
    assert [part.heading for part in found.sections] == ["1. Introduction", "2. Methods"]
    assert [entry.text.split()[0] for entry in found.references] == ["Knuth", "Noether"]
    assert found.references[1].text.endswith("24–66.")
    assert str(found.references[0].span) == "a.pdf, page 1"


def test_labelled_references_are_parted_by_their_labels() -> None:
    listed = (
        "[1] A. Byron. On engines, 1843.\n[2] E. Noether. Rings,\n1921.\n[3] D. Knuth. Art, 1968.\n"
    )
    found = paper(document(f"Title\n\nText.\n\nREFERENCES\n{listed}\nAppendix A\n\nProofs.\n"))
    assert found is not None
    assert [entry.text for entry in found.references] == [
        "[1] A. Byron. On engines, 1843.",
        "[2] E. Noether. Rings,\n1921.",
        "[3] D. Knuth. Art, 1968.",
    ]


def test_the_word_in_the_contents_or_alone_is_no_list_of_references() -> None:
    assert references_start("Contents\nReferences\nIndex\n\nNothing more is said.\n") is None
    text = "Contents\n5 References 12\n\nText.\n\n5 References\n\nKnuth (1984). Art.\n"
    assert references_start(text) == text.rindex("5 References")
    chinese = "正文。\n\n参考文献\n[1] 王力. 古代汉语. 中华书局, 1999.\n"
    assert references_start(chinese) == chinese.index("参考文献")


def test_what_is_no_paper_has_no_parts() -> None:
    assert paper(document("Dear Sir,\n\nI have the honour to be yours.\n")) is None


def test_a_paper_that_lists_the_title_of_another_cites_it() -> None:
    other = (
        "Later Work\n\nAbstract\n\nWe build on it.\n\nReferences\n\n"
        "Byron A (1990). “A Study of Read-\n"
        "ing Order in Printed Columns.” Journal of Order, 1, 1–9.\nKnuth DE (1984). Art.\n"
    )
    papers = [headed(TEXT, "first.pdf"), document(other, "later.pdf")]
    (citation,) = cited_papers(papers)
    assert (citation.citing, citation.cited) == ("later.pdf", "first.pdf")
    assert citation.entry.text.startswith("Byron A (1990)")
    assert citation.entry.text.endswith("1–9.")
