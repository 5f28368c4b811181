import random
import re

import pytest

from longctx.ingest.document import Document, Page, Segment
from longctx.prompts.citation import locate
from longctx.prompts.pack import Pack, pack
from longctx.prompts.searchable import fold

TERMS = """LICENCE

1. Grant. The Licensee may not sublicense the Software, except to its own
Affiliates, and shall pay the fee within thirty (30) days of the invoice.

2. Term. This Agreement begins on 1 March 2024 and runs for two years — unless
it is ended earlier by “written notice” of either party.

3. Warranty. The Licensor gives no warranty of any kind, either expressed or
implied, as to the quality and performance of the Software.

}
"""
CODE = "".join(f"def step_{n}(x):\n    return x + {n} * 2\n\n" for n in range(1, 9)) + "done()\n"
PDF = Document(
    "paper.pdf",
    "The cat sat on the\nmat and looked at the moon\nfor a very long time.\n",
    "pdf",
    "03",
    pages=(Page(1, 0, 46), Page(2, 46, 68)),
)


def of(*items: Document | Segment) -> Pack:
    return pack(items, key=b"k" * 32, count=len)


DOCUMENTS = (Document("terms.txt", TERMS, "prose", "01"), Document("a.py", CODE, "code", "02"), PDF)
PACK = of(*DOCUMENTS)


@pytest.mark.parametrize(
    ("quote", "place"),
    [
        (
            "The Licensee may not sublicense the Software, except to its own Affiliates",
            "terms.txt:3-4",
        ),
        ("  the fee within\n thirty (30) days  ", "terms.txt:4"),
        ('"runs for two years -- unless it is ended earlier by "written notice""', "terms.txt:6-7"),
        ("...gives no warranty of any kind, either expressed…", "terms.txt:9"),
        ("return x + 3 * 2", "a.py:8"),
        ("`return x + 3 * 2`", "a.py:8"),
        ("return x + 3 * 2\n\n[line 10]\ndef step_4(x):", "a.py:8-10"),
        ("return x+3*2\ndef step_4( x )", "a.py:8-10"),
        ("def step_4(x): return x + 4 * 2", "a.py:10-11"),
        ("sat on the mat and looked at the moon for a very long time", "paper.pdf, pages 1-2"),
        ("done()", "a.py:25"),
        ("LICENCE", "terms.txt:1"),
    ],
)
def test_a_quote_that_stands_there_is_verified_with_its_place(quote: str, place: str) -> None:
    citation = locate(quote, PACK)
    assert (citation.state, str(citation.span)) == ("verified", place)
    assert citation.quote == quote


@pytest.mark.parametrize(
    ("quote", "real"),
    [
        (
            "The Licensee may sublicense the Software, except to its own Affiliates",
            "The Licensee may not sublicense the Software, except to its own Affiliates",
        ),
        (
            "shall pay the fee within sixty (60) days of the invoice",
            "shall pay the fee within thirty (30) days of the invoice",
        ),
        ("THE LICENSOR GIVES NO WARRANTY", "The Licensor gives no warranty"),
        ("icensee may not sublicense the Softwar", "Licensee may not sublicense the Software"),
        (
            "This Agreement begins ... and runs for two years",
            "This Agreement begins on 1 March 2024 and runs for two years",
        ),
    ],
)
def test_a_quote_that_nearly_stands_there_is_repaired_with_the_real_text(
    quote: str, real: str
) -> None:
    citation = locate(quote, PACK)
    assert (citation.state, citation.quote) == ("repaired", real)
    assert citation.span is not None


@pytest.mark.parametrize(
    "quote",
    [
        "",
        " \n ",
        "...",
        "\0\0\0",
        "days",
        "x + 3",
        "}",
        "The Licensee indemnifies the Licensor against all third party claims",
        "The Licensee may ... sublicense the Software, except to its own Affiliates",
        "The Licensee may not sublicense ... quality and performance of the Software",
        "the Software. def step_1(x): return x + 1 * 2",
    ],
)
def test_what_does_not_stand_there_is_unverified_and_has_no_place(quote: str) -> None:
    citation = locate(quote, PACK)
    if quote == "}":
        # A line that stands only once, though short, is its own proof.
        assert str(citation.span) == "terms.txt:12"
    else:
        assert (citation.state, citation.span) == ("unverified", None)


def test_a_short_line_that_stands_twice_proves_no_place() -> None:
    twice = of(Document("a.c", "if (x) {\n}\nelse {\n}\n", "code", "00"))
    assert locate("}", twice).state == "unverified"
    assert locate("else {", twice).state == "verified"


def test_the_preferred_document_is_searched_first() -> None:
    copies = of(*(Document(name, TERMS, "prose", name) for name in ("one.txt", "two.txt")))
    quote = "gives no warranty of any kind"
    assert str(locate(quote, copies).span) == "one.txt:9"
    assert str(locate(quote, copies, prefer="two.txt").span) == "two.txt:9"
    assert str(locate(quote, copies, prefer="gone.txt").span) == "one.txt:9"
    nearly = "gives no warranty of any sort, either expressed"
    assert str(locate(nearly, copies, prefer="two.txt").span) == "two.txt:9"


def test_what_was_left_out_cannot_be_cited_nor_joined_across() -> None:
    document = DOCUMENTS[0]
    starts = document.line_starts
    trimmed = of(Segment(document, 0, starts[3]), Segment(document, starts[8], len(TERMS)))
    assert locate("runs for two years", trimmed).state == "unverified"
    across = "except to its own 3. Warranty. The Licensor gives no warranty"
    assert locate(across, trimmed).state != "verified"
    assert str(locate("The Licensor gives no warranty", trimmed).span) == "terms.txt:9"


def test_chinese_is_quoted_without_its_line_breaks() -> None:
    text = "話說天下大勢，\n分久必合，合久必分。\n周末七國分爭，并入於秦。\n"
    chinese = of(Document("三國.txt", text, "prose", "00"))
    citation = locate("天下大勢，分久必合", chinese)
    assert (citation.state, str(citation.span)) == ("verified", "三國.txt:1-2")
    assert locate("分久", chinese).state == "unverified"
    assert locate("周末七國分爭，併入於秦", chinese).state == "repaired"


LONG = of(
    *DOCUMENTS,
    Document(
        "noise.txt",
        "\n".join(
            " ".join(
                random.Random(line).choices("alpha beta gamma delta not of the a".split(), k=12)
            )
            for line in range(400)
        ),
        "prose",
        "09",
    ),
)


@pytest.mark.parametrize("seed", range(4))
def test_an_altered_quote_is_never_verified(seed: int) -> None:
    generator = random.Random(seed)
    texts = {part.document.name: part.document.text for part in LONG.parts}
    folded = [fold(text) for text in texts.values()]
    checked = 0
    for _ in range(120):
        text = generator.choice(list(texts.values()))
        start = generator.randrange(len(text))
        tokens = re.findall(r"\S+", text[start : start + generator.randint(30, 200)])[1:-1]
        if len(tokens) < 3:
            continue
        assert locate(" ".join(tokens), LONG).state in ("verified", "unverified")
        place = generator.randrange(len(tokens))
        change = generator.choice(["drop", "double", "swap", "letter", "negate"])
        if change == "drop":
            place = min(max(place, 1), len(tokens) - 2)
            del tokens[place]
        elif change == "double":
            tokens.insert(place, tokens[place] + "x")
        elif change == "swap":
            tokens[0], tokens[-1] = tokens[-1], tokens[0]
        elif change == "letter":
            tokens[place] = tokens[place][:-1] + ("q" if tokens[place][-1] != "q" else "z")
        else:
            tokens.insert(place, "never")
        quote = " ".join(tokens)
        stands = any(fold(quote).strip("\"'` ") in text for text in folded)
        citation = locate(quote, LONG)
        if not stands:
            checked += 1
            assert citation.state != "verified", quote
        if citation.span is not None:
            real = fold(texts[citation.span.name][citation.span.start : citation.span.end])
            assert real == fold(citation.quote).strip("\"'` ")
    assert checked > 50


def test_noise_is_never_verified() -> None:
    generator = random.Random(11)
    for _ in range(200):
        length = generator.randint(0, 60)
        quote = "".join(generator.choices("abc .…\"'[]()\n\0—天line 1", k=length))
        citation = locate(quote, PACK)
        assert citation.state != "verified" or fold(quote)
        assert (citation.span is None) == (citation.state == "unverified")
