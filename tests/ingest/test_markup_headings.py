import pytest

from longctx.ingest.document import Document, Source
from longctx.ingest.markup_headings import adoc_headings, rst_headings, tex_headings
from longctx.ingest.read import read
from longctx.ingest.segment import segments


def titles(headings) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in headings]


def test_restructured_text_has_levels_in_the_order_of_its_adornments() -> None:
    text = (
        "=====\n Book\n=====\n\nOne\n===\n\ntext\n\nInner\n-----\n::\n\n   code\n   ----\n\n"
        "----\n\nTwo\n===\n\nline one\nline two\n----\n\n====  ====\na     b\n====  ====\n"
    )
    found = rst_headings(text)
    assert titles(found) == [(1, "Book"), (2, "One"), (3, "Inner"), (2, "Two")]
    assert [text[item.start :].split("\n")[0].strip() for item in found] == [
        "Book",
        "One",
        "Inner",
        "Two",
    ]


def test_asciidoc_has_titles_outside_of_blocks() -> None:
    text = (
        "= Book\nAnn\n\n== One\n\n----\n== no title\n----\n\n=== Inner\n\nOld style\n---------\n\n"
        "[source]\n----\n# no\n----\n\n|===\n|== a\n|===\n\n== Two\n"
    )
    found = adoc_headings(text)
    assert titles(found) == [(1, "Book"), (2, "One"), (3, "Inner"), (2, "Old style"), (2, "Two")]
    assert text[found[3].start :].startswith("Old style\n---")


def test_latex_has_sections_outside_of_comments_and_listings() -> None:
    text = (
        "\\begin{abstract}x\\end{abstract}\n\\section{One \\emph{fine} $x_{1}$\\label{a}}\n"
        "% \\section{no}\n50\\% \\subsection*[short]{Inner~part}\n"
        "\\begin{verbatim}\\section{no}\\end{verbatim}\n\\section{Never closed\n\n"
        "\\begin{thebibliography}{9}"
    )
    found = tex_headings(text)
    assert titles(found) == [
        (1, "Abstract"),
        (1, "One fine $x_1$"),
        (2, "Inner part"),
        (1, "References"),
    ]
    assert text[found[2].start :].startswith("\\subsection*")


@pytest.mark.parametrize("find", [rst_headings, adoc_headings, tex_headings])
def test_text_without_headings_and_hostile_text_give_none(find) -> None:
    assert find("") == [] and find("just\ntext\n\nmore") == []
    assert find("\\section{" * 5000 + "=" * 5000 + "\\begin{verbatim}" * 5000) == []


def test_a_real_manual_has_the_sections_that_it_states(corpus_dir) -> None:
    path = corpus_dir("flask-2.3.1") / "docs" / "quickstart.rst"
    document = read(Source("quickstart.rst", path=path))
    assert isinstance(document, Document)
    found = [(item.level, item.heading) for item in segments(document)]
    assert found[:5] == [
        (1, "Quickstart"),
        (2, "A Minimal Application"),
        (2, "Debug Mode"),
        (2, "HTML Escaping"),
        (2, "Routing"),
    ]
    assert (3, "Variable Rules") in found and (3, "Unique URLs / Redirection Behavior") in found
