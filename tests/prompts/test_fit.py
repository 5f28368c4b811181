import pytest

from longctx.ingest.document import Document, Page, Skipped
from longctx.ingest.errors import OverBudget
from longctx.prompts.budget import Budget
from longctx.prompts.fit import UNIT_CHARACTERS, fit, split
from longctx.prompts.pack import Pack

KEY = b"k" * 32


def count(text: str) -> int:
    return len(text.split())


def document(name: str, num_lines: int, kind: str = "code", word: str = "word") -> Document:
    text = "".join(f"{word} {number} in {name}\n" for number in range(num_lines))
    return Document(name, text, kind, name)


def manual(num_pages: int) -> Document:
    """A paged Document: a table of contents, and on each page a topic of its own."""
    texts = ["Contents\n" + "".join(f"Topic {n} ... {n}\n" for n in range(1, 9))]
    texts += [
        f"Topic{n:03} is treated here. " + "Common words follow. " * 60 + "\n"
        for n in range(2, num_pages + 1)
    ]
    pages, start = [], 0
    for number, text in enumerate(texts, 1):
        pages.append(Page(number, start, start + len(text)))
        start += len(text)
    return Document("manual.pdf", "".join(texts), "pdf", "m", pages=tuple(pages))


FILES = (
    document("data.csv", 60, "data"),
    document("tests/test_a.py", 60),
    document("src/b.py", 60),
    document("src/a.py", 60, word="login"),
    document("docs/guide.md", 60, "markdown"),
)


def fitted(documents: tuple[Document, ...], num_tokens: int, **options: str) -> Pack:
    budget = Budget(num_tokens + 50, reserved=50)
    result = fit(documents, key=KEY, count=count, budget=budget, **options)
    assert result.num_tokens <= num_tokens
    assert result.num_tokens == count(result.text)
    assert_accounted(documents, result)
    return result


def assert_accounted(documents: tuple[Document, ...], result: Pack) -> None:
    """Each character is either shown or in exactly one Cut."""
    ranges = {item.name: [] for item in documents}
    for part in result.parts:
        ranges[part.document.name] += part.ranges
    for cut in result.cuts:
        ranges[cut.span.name].append((cut.span.start, cut.span.end))
        assert cut.num_tokens > 0 and cut.reason
    for item in documents:
        covered = sorted(ranges[item.name])
        assert [start for start, _ in covered] == [0, *(end for _, end in covered[:-1])]
        assert covered[-1][1] == len(item.text)


def names(result: Pack) -> list[str]:
    return [part.document.name for part in result.parts]


def test_what_fits_is_left_alone() -> None:
    result = fitted(FILES, 10_000)
    assert names(result) == [item.name for item in FILES] and result.cuts == ()


def test_source_is_kept_before_tests_before_data_in_the_order_given() -> None:
    result = fitted(FILES, 960)
    assert names(result) == ["src/b.py", "src/a.py", "docs/guide.md"]
    assert [(cut.span.name, cut.reason) for cut in result.cuts] == [
        ("data.csv", "data come after tests"),
        ("tests/test_a.py", "tests come after source"),
    ]


def test_the_focus_is_kept_first_by_name_or_by_word() -> None:
    by_name = fitted(FILES, 330, focus="tests/*")
    assert names(by_name) == ["tests/test_a.py"]
    assert {cut.reason for cut in by_name.cuts} == {"not in the focus"}
    by_word = fitted(FILES, 330, focus="login flow")
    assert names(by_word) == ["src/a.py"]


def test_the_question_ranks_documents_of_one_role() -> None:
    assert names(fitted(FILES, 330, question="How does the login work?")) == ["src/a.py"]


def test_of_a_long_document_the_pages_that_share_rare_words_with_the_question_win() -> None:
    result = fitted((manual(190),), 2_500, question="What is said about topic077 and topic150?")
    (part,) = result.parts
    shown = {
        page.number
        for page in part.document.pages
        for start, end in part.ranges
        if start <= page.start < end
    }
    assert {1, 77, 150} <= shown and len(shown) < 20
    assert "[page 77]\nTopic077" in result.text
    assert "[pages " in result.text and " left out]" in result.text
    assert all(cut.span.first_page is not None for cut in result.cuts)


def test_without_a_question_the_beginning_of_a_long_document_is_kept() -> None:
    result = fitted((manual(190),), 2_500)
    (part,) = result.parts
    assert part.ranges[0][0] == 0 and len(part.ranges) == 1


def test_without_a_question_no_scrap_from_behind_fills_the_room() -> None:
    chapter = "word " * (UNIT_CHARACTERS // 5 - 4)
    text = "".join(f"# Chapter {number}\n\n{chapter}\n\n" for number in range(4))
    novel = Document("novel.md", f"{text}# Chapter 4\n\nThe end.\n", "markdown", "n")
    room = len(chapter.split()) * 5 // 2
    (part,) = fitted((novel,), room).parts
    assert part.ranges[0][0] == 0 and len(part.ranges) == 1


def test_two_documents_over_the_budget_share_it() -> None:
    first, second = manual(100), document("long.txt", 5_000, "prose")
    assert names(fitted((first, second), 3_000)) == ["manual.pdf", "long.txt"]


def test_a_budget_for_nothing_at_all_is_an_error() -> None:
    with pytest.raises(OverBudget, match="too few for even one part"):
        fit(FILES, key=KEY, count=count, budget=Budget(10))
    with pytest.raises(OverBudget, match="too few for even one part"):
        split(FILES, key=KEY, count=count, budget=Budget(10))


@pytest.mark.parametrize("num_tokens", [500, 1_000, 3_000, 50_000])
def test_split_packs_fit_and_together_hold_everything_in_order(num_tokens: int) -> None:
    documents = (*FILES, manual(60), document("one_line.txt", 1))
    packs = split(
        documents, [Skipped("x", "binary")], key=KEY, count=count, budget=Budget(num_tokens)
    )
    assert all(item.num_tokens <= num_tokens for item in packs)
    assert all(item.skipped and not item.cuts for item in packs)
    shown = [
        (part.document.name, *span) for item in packs for part in item.parts for span in part.ranges
    ]
    for item in documents:
        spans = [span[1:] for span in shown if span[0] == item.name]
        assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
        assert spans[-1][1] == len(item.text)
    order = list(dict.fromkeys(span[0] for span in shown))
    assert order == [item.name for item in documents]
    assert (len(packs) == 1) == (num_tokens == 50_000)


def test_split_cuts_no_document_that_fits_a_pack_of_its_own() -> None:
    packs = split(FILES, key=KEY, count=count, budget=Budget(700))
    assert [names(item) for item in packs] == [
        ["data.csv", "tests/test_a.py"],
        ["src/b.py", "src/a.py"],
        ["docs/guide.md"],
    ]
    assert all(part.whole for item in packs for part in item.parts)


def test_split_cuts_a_novel_at_its_chapters() -> None:
    chapters = "".join(f"Chapter {n}\n\n" + "It went on and on.\n" * 60 + "\n" for n in range(1, 9))
    packs = split(
        [Document("novel.txt", chapters, "prose", "n")], key=KEY, count=count, budget=Budget(850)
    )
    assert len(packs) > 2
    for item in packs:
        start, _ = item.parts[0].ranges[0]
        assert chapters[start:].startswith("Chapter ")


def test_a_single_line_longer_than_the_budget_is_cut_inside() -> None:
    line = Document("min.js", "a b " * 4_000, "code", "j")
    packs = split([line], key=KEY, count=count, budget=Budget(1_000))
    assert len(packs) > 8 and all(item.num_tokens <= 1_000 for item in packs)
    assert len(fit([line], key=KEY, count=count, budget=Budget(3_000)).cuts) == 1
