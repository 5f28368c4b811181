import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.ingest.markup import attributes, tokens

UGLY = st.text(st.sampled_from("<>&;!?/-[]=\"' \nap#1")) | st.lists(
    st.sampled_from(
        ["<a ", '="', "='", "<!--", "-->", "<![CDATA[", "]]>", "<!", "<?", "</a>", "<script>", "x"]
    )
).map("".join)


def of(markup: str) -> list[tuple[str, str]]:
    return [(tag, rest) for _, tag, rest in tokens(markup)]


def test_tags_and_text_come_in_order_with_references_resolved() -> None:
    assert list(tokens("<p class=x>a &amp; b</P>")) == [
        (0, "p", " class=x"),
        (11, "", "a & b"),
        (20, "/p", ""),
    ]


def test_an_element_closed_in_its_own_tag_ends_and_one_without_content_has_no_end() -> None:
    assert of("<a/><br/>") == [("a", "/"), ("/a", ""), ("br", "/")]


def test_comments_scripts_declarations_and_instructions_are_passed_over() -> None:
    markup = (
        '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a "<b>">]>x<!-- <p> -->'
        "<script>if (a < b) '<p>'</script><STYLE>p > a {}</style>y"
    )
    assert of(markup) == [("", "x"), ("", "y")]


def test_character_data_sections_are_text_as_they_stand() -> None:
    assert of("<![CDATA[a < &amp; b]]>") == [("", "a < &amp; b")]


def test_prefixes_of_namespaces_are_dropped_from_names_of_elements() -> None:
    assert of('<opf:Item opf:id="1"></opf:item>') == [("item", ' opf:id="1"'), ("/item", "")]


def test_angle_brackets_inside_quoted_values_end_no_tag() -> None:
    assert of("""<a title="x > y" b='<'>z""") == [("a", """ title="x > y" b='<'"""), ("", "z")]


def test_what_is_no_tag_is_text() -> None:
    assert of("1 < 2 and <3 <a") == [("", "1 < 2 and <3 <a")]


def test_attributes_are_told_in_every_spelling() -> None:
    told = attributes(""" ID="a" x='b &lt; c' y=d hidden epub:type = "toc" id=second """)
    assert told == {"id": "a", "x": "b < c", "y": "d", "hidden": "", "epub:type": "toc"}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(UGLY)
def test_whatever_the_markup_its_tokens_lie_in_it_in_order(markup: str) -> None:
    places = [offset for offset, _, _ in tokens(markup)]
    assert places == sorted(places) and all(0 <= place <= len(markup) for place in places)
    for _, tag, rest in tokens(markup):
        if tag:
            attributes(rest)


@pytest.mark.parametrize(
    "piece", ["<a ", '<a b="', "<!--", "</a", "<script", "<![", "<a x='<b y=\""]
)
def test_tags_that_never_end_take_linear_time(piece: str) -> None:
    # With a quadratic reader each of these takes minutes.
    text = piece * 100_000
    assert sum(1 for _ in tokens(text)) <= 2
