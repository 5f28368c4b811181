from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.ingest.document import Heading
from longctx.ingest.page_text import page_text

TAGS = (
    "p b li ul ol table tr td th h1 h3 pre sup a nav main div br img dl dd math annotation title"
).split()
PIECES = st.sampled_from(
    [f"<{tag}>" for tag in TAGS]
    + [f"</{tag}>" for tag in TAGS]
    + ['<div hidden id="x">', '<a href="#x" id="y">', "<ol type=i start=3>", "word", " ", "\n", "7"]
)


def text(markup: str) -> str:
    return page_text(markup).text


def test_white_space_is_one_space_and_blocks_are_set_apart() -> None:
    assert text("<p>One\n  <b>two</b>,\tthree</p>four<div>five</div>") == (
        "One two, three\n\nfour\nfive\n"
    )


def test_words_are_parted_only_where_the_markup_parts_them() -> None:
    assert text("<p>H<sub>2</sub>O <i>so</i>-called<br>next") == "H2O so-called\nnext\n"


def test_lists_have_bullets_and_the_numbers_that_are_printed() -> None:
    assert text("<ul><li>a<li><p>b</p><ul><li>c</ul></ul>") == "- a\n- b\n  - c\n"
    assert text('<ol type=a start=3><li>x<li value="28">y<li>z</ol>') == "c. x\nab. y\nac. z\n"
    assert text("<ol type=I start=3999><li>x<li>y</ol>") == "MMMCMXCIX. x\n4000. y\n"


def test_rows_of_a_table_are_lines_with_bars_between_the_cells() -> None:
    markup = (
        "<table><tr><th>Name<th>Size</tr><tr><td></td><td><p>1</p><p>2</p></td></tr>"
        "<tr><td> </td><td></td></tr><tr><td>a<td>b</table>end"
    )
    assert text(markup) == "Name | Size\n | 1 2\na | b\n\nend\n"


def test_a_table_that_only_lays_out_the_page_gives_blocks() -> None:
    markup = "<table><tr><td>menu</td><td><h1>Title</h1><p>One</p><p>Two</p></td></tr></table>"
    assert text(markup) == "menu\n\nTitle\n\nOne\n\nTwo\n"


def test_preformatted_text_keeps_its_lines_and_spaces() -> None:
    assert text("<p>x</p><pre>\n a  b\n\n<b>c</b>\n</pre>y") == "x\n\n a  b\n\nc\n\ny\n"


def test_notes_are_in_brackets_and_exponents_after_a_caret() -> None:
    assert text("said<sup><a href='#1'>12</a></sup> 10<sup>6</sup> 1<sup>st</sup>") == (
        "said[12] 10^6 1st\n"
    )
    assert text('so.<a epub:type="noteref" href="#n">3</a>') == "so.[3]\n"


def test_the_source_of_a_formula_stands_for_its_glyphs() -> None:
    markup = "so <math><mi>a</mi><mi>b</mi><annotation>\\frac{a}{b}</annotation></math> is"
    assert text(markup) == "so \\frac{a}{b} is\n"


def test_navigation_and_hidden_elements_are_left_out_and_counted() -> None:
    markup = (
        "<nav>one two</nav><p>text<a class=headerlink href='#'>¶</a></p><div hidden>three</div>"
        "<p style='display: none'>four</p><span aria-hidden=true>five</span>"
    )
    page = page_text(markup)
    assert (page.text, page.left_out) == ("text\n", 6)


def test_what_should_be_left_out_and_never_ends_stays() -> None:
    page = page_text("<body><nav>menu<p>the whole page</body>")
    assert (page.text, page.left_out) == ("menu\n\nthe whole page\n", 0)


def test_only_the_main_part_is_the_page_where_it_says_so() -> None:
    page = page_text("<header>Site</header><main><h1 id=a>T</h1>x</main><footer>a b</footer>")
    assert (page.text, page.left_out) == ("T\n\nx\n", 3)
    assert page.headings == (Heading(0, "T", 1),) and page.anchors == {"a": 0}


def test_headings_and_anchors_lead_to_their_first_characters() -> None:
    page = page_text("<p>intro</p><section id=s><h2>A <i>title</i><br>goes on</h2><p id=p>x")
    assert page.text == "intro\n\nA title\ngoes on\n\nx\n"
    assert page.headings == (Heading(7, "A title goes on", 2),)
    assert page.anchors == {"s": 7, "p": 24}


def test_soft_hyphens_and_invisible_spaces_do_not_part_words() -> None:
    assert text("in&shy;ter\u200bna\u00adtional&nbsp;law") == "international law\n"


def test_letters_set_as_pictures_are_read_by_their_text() -> None:
    assert text('<p><img alt="W" src="w.png"/>hen</p>') == "When\n"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(PIECES, max_size=60))
def test_no_word_is_lost_doubled_or_moved_whatever_the_markup(pieces: list[str]) -> None:
    numbered = [f"w{place}z" if piece == "word" else piece for place, piece in enumerate(pieces)]
    written = [piece for piece in numbered if piece[0] == "w"]
    page = page_text("".join(numbered), lines=True)
    shown = f" {page.title} {page.text}"
    found = [word for word in written if word in shown]
    places = [page.text.index(word) for word in found if word in page.text]
    assert places == sorted(places)
    assert all(shown.count(word) <= 2 for word in found)
    if not page.left_out and "<annotation>" not in pieces and "<title>" not in pieces:
        assert found == written
    for heading in page.headings:
        assert heading.title.split()[0] in page.text[heading.start :]
    assert all(0 <= place <= len(page.text) for place in page.anchors.values())


def test_an_indent_before_the_first_word_loses_no_line() -> None:
    assert page_text("\n<ol>\n<ol start=3>\nword", lines=True).lines == ((0, 4),)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(PIECES, max_size=60))
def test_every_word_stands_on_the_line_that_is_told(pieces: list[str]) -> None:
    numbered = [f"w{place}z" if piece == "word" else piece for place, piece in enumerate(pieces)]
    markup = "".join(numbered)
    page = page_text(markup, lines=True)
    for word in (piece for piece in numbered if piece[0] == "w" and piece in page.text):
        start = page.text.index(word)
        line = [line for offset, line in page.lines if offset <= start][-1]
        assert line == 1 + markup.count("\n", 0, markup.index(word))
