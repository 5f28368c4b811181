from pathlib import Path

import pytest

from longctx.ingest.headings import markdown_headings, prose_headings, section_headings

LICENCES = Path("/usr/share/common-licenses")


def outline(text: str) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in prose_headings(text)]


def test_markdown_headings_are_atx_or_underlined_and_not_in_fences() -> None:
    text = (
        "Title\n=====\n\n## Part ##\n\n```sh\n# a comment\n```\n\nSub\n---\ntext\n\n"
        "#hashtag\n\n- item\n- item\n\n---\n"
    )
    found = [(heading.level, heading.title) for heading in markdown_headings(text)]
    assert found == [(1, "Title"), (2, "Part"), (2, "Sub")]
    assert all(
        text[heading.start :].lstrip("# ").startswith(heading.title)
        for heading in markdown_headings(text)
    )


def test_chapters_and_volumes_of_a_novel() -> None:
    text = (
        "EMMA\n\nBy Jane Austen\n\n\nVOLUME I\n\nCHAPTER I\n\nEmma Woodhouse, handsome.\n\n"
        "CHAPTER II\n\nMr. Weston was a native of Highbury.\n\nCHARADE.\n\nMy first displays\n\n"
        "Chapter 3\n\nShe saw part of it, and chapter and verse\nof the rest.\n"
    )
    assert outline(text) == [
        (2, "EMMA"),
        (1, "VOLUME I"),
        (2, "CHAPTER I"),
        (2, "CHAPTER II"),
        (3, "CHARADE."),
        (2, "Chapter 3"),
    ]


def test_a_list_of_chapters_at_the_front_is_not_the_chapters() -> None:
    text = "Chapter 1\n\nChapter 2\n\n\nChapter 1\n\nIt began.\n\nChapter 2\n\nIt ended.\n"
    headings = prose_headings(text)
    assert [text[heading.start :].split("\n")[2] for heading in headings] == [
        "It began.",
        "It ended.",
    ]


def test_chinese_chapters() -> None:
    text = (
        "西遊記\n\n第一回　靈根育孕源流出　心性修持大道生\n詩曰：\n混沌未分天地亂\n"
        "第二回　悟徹菩提真妙理\n話表美猴王\n第十二回中說過，這是正文。\n"
    )
    assert outline(text) == [
        (1, "第一回　靈根育孕源流出　心性修持大道生"),
        (1, "第二回　悟徹菩提真妙理"),
    ]


def test_chinese_clauses_stand_below_their_chapter_and_references_to_them_do_not() -> None:
    text = (
        "第一章 总则\n第一条　为了保护当事人的合法权益，制定本法。\n第二条 本法所称合同是协议。\n"
        "第二条规定的协议除外。\n第二章 合同的订立\n第三条\n当事人应当具有相应的能力。\n"
    )
    assert outline(text) == [
        (1, "第一章 总则"),
        (2, "第一条　为了保护当事人的合法权益，制定本法"),
        (2, "第二条 本法所称合同是协议"),
        (1, "第二章 合同的订立"),
        (2, "第三条"),
    ]


def test_numbers_that_do_not_count_on_are_no_headings() -> None:
    text = (
        "1. First.\n\nIn 1999 there were\n\n12 apples and\n\n2. Second.\n\n2.1 Inner part\n\n"
        "1984 was a year.\n\n7. Not the next.\n\n3. Third.\n"
    )
    assert outline(text) == [
        (1, "1. First."),
        (1, "2. Second."),
        (2, "2.1 Inner part"),
        (1, "3. Third."),
    ]


def test_a_sentence_that_begins_with_a_section_number_is_no_heading() -> None:
    text = "Intro.\n\nSection 8 of this Agreement shall\napply.\n\nSection 9. Term\n\nOne year.\n"
    assert outline(text) == [(1, "Section 9. Term")]


def test_capitals_in_a_paragraph_are_no_heading() -> None:
    text = "a\n\nNO WARRANTY\n\nTHERE IS NO WARRANTY FOR THE PROGRAM,\nTO THE EXTENT PERMITTED.\n"
    assert outline(text) == [(1, "NO WARRANTY")]


@pytest.mark.skipif(not LICENCES.is_dir(), reason="no licences here")
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("GPL-2", range(13)),
        ("GPL-3", range(18)),
        ("MPL-1.1", range(1, 14)),
        ("MPL-2.0", range(1, 11)),
        ("GFDL-1.3", range(12)),
        ("Apache-2.0", range(1, 10)),
        ("Artistic", range(1, 11)),
    ],
)
def test_every_clause_of_a_real_licence_is_found_once(name: str, numbers: range) -> None:
    titles = [title for _, title in outline((LICENCES / name).read_text())]
    found = [title.split(".")[0] for title in titles if title[0].isdigit()]
    clauses = [title for title in titles if title[0].isdigit() and title.split()[0].count(".") < 2]
    assert list(dict.fromkeys(found)) == [str(number) for number in numbers]
    assert len([title for title in clauses if not title.split()[0].strip(".").count(".")]) == len(
        numbers
    )


def test_the_sections_of_a_paper_are_told_from_its_tables_and_running_titles() -> None:
    page = "{} Generalized fluctuation tests\nSome text goes here.\n12.5 0.3 14\n"
    text = (
        "Contents\n1 Introduction 1\n2 The model 3\n"
        + page.format(2)
        + "1 Introduction\nIt begins. In\n2 = T\n3 apples were red.\n"
        + page.format(3)
        + "2 The model\n2.1 First part\n1. The list item, not a section,\n"
        + page.format(4)
        + "3 Conclusions\nReferences\nSmith, J.\n"
    )
    found = [(heading.level, heading.title) for heading in section_headings(text)]
    assert found == [
        (1, "1 Introduction"),
        (1, "2 The model"),
        (2, "2.1 First part"),
        (1, "3 Conclusions"),
        (1, "References"),
    ]
    assert section_headings("1 One\n2 Two\n") == []


def test_underlined_titles_count_their_lines_in_order_of_appearance() -> None:
    text = (
        "Manual\n******\n\n* 1. Scope\n\n* 2. Terms\n\n1. Scope\n========\n\ntext\n\n"
        "1.1. Inner\n----------\n\ntext\n\n2. Terms\n========\n\ntext\n"
    )
    assert outline(text) == [(1, "Manual"), (2, "1. Scope"), (3, "1.1. Inner"), (2, "2. Terms")]
