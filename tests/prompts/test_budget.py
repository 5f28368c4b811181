from longctx.prompts.budget import Budget, estimate


def test_what_is_reserved_is_not_for_documents() -> None:
    assert Budget(window=32_768, reserved=768).num_tokens == 32_000
    assert Budget(window=100, reserved=200).num_tokens == 0


def test_an_estimate_knows_that_chinese_takes_more_tokens_a_character() -> None:
    assert estimate("") == 0
    assert estimate("word " * 800) == 1000
    assert estimate("天下大势分久必合合久必分" * 100) == 1000
    assert estimate("word " * 800 + "天下大势分久必合合久必分" * 100) == 2000
