from longctx.prompts.relevance import relevance

TEXTS = [
    "The cat sat on the mat and the cat slept.",
    "Dogs were conveying the mail of the town.",
    "The town and the mat and the mail.",
]


def test_rare_words_of_the_question_count_and_common_ones_do_not() -> None:
    scores = relevance(TEXTS, "Did the cat sleep on the mat?")
    assert scores[0] > 3 * max(scores[1:]) > 0


def test_function_words_of_the_question_do_not_count_unless_there_are_no_others() -> None:
    assert relevance(["what is to be done", "a cat"], "What is a cat to do?")[0] == 0
    assert relevance(["to be or not to be", "a cat"], "To be or not to be?")[0] > 0


def test_forms_of_a_word_are_one_word() -> None:
    scores = relevance(TEXTS, "conveyed")
    assert scores[1] > 0 and scores[0] == scores[2] == 0
    assert relevance(TEXTS, "a dog and many cats") == relevance(TEXTS, "dogs, a cat")
    assert relevance(["the pass", "the pas"], "pass")[1] == 0


def test_no_question_and_no_texts() -> None:
    assert relevance(TEXTS, "") == [0.0, 0.0, 0.0]
    assert relevance([], "cat") == []
    assert relevance([""], "cat") == [0.0]


def test_chinese_questions_find_chinese_text() -> None:
    scores = relevance(["天下大势分久必合", "吾輩は猫である"], "天下大势如何")
    assert scores[0] > 0 == scores[1]
