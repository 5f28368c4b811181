from longctx.ingest.pdf_text import clean, is_garbled, restored, without_line_hyphens


def joined(*pages: str) -> list[str]:
    return without_line_hyphens(pages)


def test_a_word_parted_by_a_line_end_is_whole_and_its_line_ends_after_it() -> None:
    assert joined("an inter\ufffenational, and\n") == ["an international,\nand\n"]
    assert joined("an inter\x02\nnational law\n") == ["an international\nlaw\n"]


def test_compounds_keep_their_hyphen() -> None:
    known = "a time-series, of time and of series, is non-free and non-native\n"
    assert joined(known + "time\ufffe\nseries\n")[0].endswith("time-series\n")
    assert joined("Build\ufffe\nDepends\n") == ["Build-Depends\n"]
    # Both parts are words of the text, and nothing says that they are ever written as one.
    assert joined("a wave of length 3; the wave\ufffe\nlength\n")[0].endswith("wave-length\n")
    assert joined("a wave of length 3, a wavelength; a wave\ufffe\nlength\n")[0].endswith(
        "wavelength\n"
    )


def test_a_word_that_goes_on_over_a_page_stands_on_the_page_where_it_begins() -> None:
    assert joined("it is inter-\n", "national, and more\n") == [
        "it is international,\n",
        "and more\n",
    ]
    assert joined("a list -\n", "of things\n") == ["a list -\n", "of things\n"]


def test_a_hyphen_inside_a_line_is_never_touched() -> None:
    assert joined("a well-known law\nwell - known\n") == ["a well-known law\nwell - known\n"]


def test_ligatures_without_a_name_are_told_by_their_letters() -> None:
    text = clean("the \x1cnal e\x1bect of \x1ductuation \x1c 1")
    assert text == "the final effect of fluctuation  1\n"
    assert clean("\ufb01ne o\ufb03ce") == "fine office\n"
    assert clean("1.1 Scope . . . . . . . . 12") == "1.1 Scope ... 12\n"


def test_letters_that_bear_the_names_of_ornaments_are_restored() -> None:
    text = "♠❡t❤♦❞s ❢♦r ✜tt✐♥❣ ❧✐♥❡❛r ♠✐①❡❞ ♠♦❞❡❧s ✕ ✷✵✷✷✳"
    assert restored([text, "✸"]) == ["methods for fitting linear mixed models – 2022.", "3"]
    assert is_garbled(text)


def test_real_ornaments_stay() -> None:
    text = "➓ A list of many things: ✓ done ✗ not done, and the four suits of cards ♠ ♥ ♦ ♣ too"
    assert restored([text]) == [text]
