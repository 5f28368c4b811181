from longctx.ingest.words import words


def test_words_are_lower_case_and_chinese_comes_in_pairs() -> None:
    assert words("The RE-used snake_case v2.0") == ["the", "re", "used", "snake", "case", "v2", "0"]
    assert words("天下大势 ok 合") == ["天下", "下大", "大势", "ok", "合"]
    assert words("Привет café") == ["привет", "café"]
