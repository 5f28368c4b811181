"""Questions put into texts, what modes make of them, and what is said of the differences."""

import json

import pytest
import torch

from longctx.runtime.errors import ModelError
from longctx.runtime.fidelity_report import agreement, compare, interval, spread
from longctx.runtime.fidelity_run import (
    Book,
    Effort,
    Records,
    divergences,
    make_case,
    run_case,
)
from longctx.runtime.fidelity_tasks import language_of, make_items, with_facts
from longctx.runtime.loading import load_engine
from longctx.runtime.sight import Sight
from longctx.runtime.tokenizer import Tokenizer

PROSE = "The rain fell on the old town all night. Nobody heard it! Was it late? Yes, it was. " * 160


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("count", [1, 6, 20, 60])
def test_the_answer_stands_in_the_text_and_nowhere_in_the_question(language, count):
    items = make_items(language, count, seed=7)
    assert len(items) == count and items == make_items(language, count, seed=7)
    assert items != make_items(language, count, seed=8)
    assert len({item.question for item in items}) == count
    text = with_facts(PROSE, [fact for item in items for fact in item.facts])
    for item in items:
        assert item.score(" ".join(sentence for _, sentence in item.facts)) == 1.0
        assert item.score(item.question) == 0 and item.score("") == 0 and item.score(PROSE) == 0
        assert all(sentence in text for _, sentence in item.facts)
        assert all(0 <= depth <= 1 for depth, _ in item.facts)
    if count == 60:
        assert {item.task for item in items} == {
            "passkey", "multi-key", "multi-value", "variables", "common-words", "meaning"
        }  # fmt: skip
        assert max(item.depth for item in items) > 0.8 > 0.2 > min(item.depth for item in items)


def test_a_question_of_meaning_shares_no_word_with_its_fact():
    common = {"a", "the", "to", "of", "in", "is", "on", "at", "name", "give"}
    for item in make_items("en", 42, seed=1):
        if item.task == "meaning":
            asked = set(item.question.lower().strip("?.").replace("?", "").split()) - common
            told = set(item.facts[0][1].lower().replace(".", "").split()) - common
            assert not asked & told, asked & told


def test_a_part_of_the_answer_is_a_part_of_the_score():
    item = next(item for item in make_items("en", 6, seed=3) if item.task == "multi-value")
    assert item.score(f"They are {item.answers[0]} and {item.answers[2]}.") == 0.5
    assert item.score(" ".join(item.answers)) == 1.0


def test_facts_lie_at_their_depth_between_sentences():
    text = with_facts(PROSE, [(0.5, "FIRST."), (0.0, "BEGIN."), (1.0, "END."), (0.5, "SECOND.")])
    assert (
        text.replace(" BEGIN. ", "")
        .replace(" END. ", "")
        .replace(" FIRST. ", "")
        .replace(" SECOND. ", "")
        == PROSE
    )
    assert text.index("BEGIN.") < 5 and text.index("END.") > len(text) - 10
    assert abs(text.index("FIRST.") / len(text) - 0.5) < 0.05
    for fact in ("FIRST.", "END."):
        assert text[: text.index(fact)].rstrip()[-1] in ".!?"
    assert language_of("话说天下大势，分久必合，合久必分。 and") == "zh" != language_of(PROSE)


@pytest.fixture(scope="module")
def setup(tiny_model_dir):
    directory = tiny_model_dir("qwen2")
    return directory, Tokenizer.load(directory)


def case_of(setup, length=1100, window=2_048, **effort):
    effort = Effort(**({"questions": 6, "rows": 24, "answer_tokens": 3} | effort))
    return make_case(setup[1], Book("rain", PROSE, "en"), length, 0, effort, window)


def test_a_case_has_the_length_that_is_asked_for(setup):
    case = case_of(setup, 1300)
    assert 1200 < setup[1].count(case.text) < 1400
    assert len(case.continuation) == 24
    with pytest.raises(ModelError, match="rain has"):
        case_of(setup, 100_000)
    with pytest.raises(ModelError, match="for the facts") as refusal:
        case_of(setup, 900, questions=30)
    assert "fewer --questions" in refusal.value.hint


def test_a_text_that_leaves_no_room_for_its_questions_is_refused_before_it_is_read(setup):
    with pytest.raises(ModelError, match="the model reads 1,300") as refusal:
        case_of(setup, 1300, window=1_300)
    shorter = int(refusal.value.hint.removeprefix("--lengths "))
    case = case_of(setup, shorter, window=1_300)
    # it is said of the questions with the longest answers, and of the rows that are compared
    assert case_of(setup, shorter, window=1_300, answer_tokens=9) == case
    for option in ({"answer_tokens": 700}, {"rows": 700}):
        with pytest.raises(ModelError, match="the model reads 1,300"):
            case_of(setup, shorter, window=1_300, **option)


def run(setup, case, attention):
    return run_case(setup[0], setup[1], case, Sight(attention), numerics="float32", answer_tokens=3)


def test_modes_are_held_against_dense_on_the_same_text(setup):
    case = case_of(setup)
    dense, rows = run(setup, case, "dense")
    few, few_rows = run(setup, case, "blocks:max_keys=128,sinks=1,window=1,dense_below=0")
    every, every_rows = run(setup, case, "blocks:max_keys=100000,mass=1.1,dense_below=0")
    assert len(dense["answers"]) == 6 and dense["recall_least"] is None
    assert every["recall_least"] > 0.999 > few["recall_median"]
    assert [one["answer"] for one in every["answers"]] == [
        one["answer"] for one in dense["answers"]
    ]
    assert every["greedy"] == dense["greedy"] and len(dense["greedy"]) == 64
    decoder = load_engine(setup[0], numerics="float32").reader.decoder
    for place in ("inside", "after"):
        with torch.inference_mode():
            assert max(divergences(decoder, rows[place], every_rows[place])) < 1e-5
            assert max(divergences(decoder, rows[place], few_rows[place])) > 1e-3


def test_the_rows_that_are_compared_are_those_of_the_prompt(setup):
    """The last row after the text gives the first token of the greedy continuation."""
    case = case_of(setup)
    record, rows = run(setup, case, "dense")
    decoder = load_engine(setup[0], numerics="float32").reader.decoder
    with torch.inference_mode():
        assert decoder.logits(rows["after"][-1:]).argmax().item() == record["greedy"][0]


def test_records_survive_a_stop_and_a_torn_line(tmp_path):
    path = tmp_path / "found.jsonl"
    kept = {"after": torch.randn(3, 4)}
    Records(path).add({"case": "a", "mode": "dense", "n": 1}, kept)
    with path.open("a") as lines:
        lines.write('{"case": "b", "mode": "den')
    again = Records(path)
    assert again.find("a", "dense")["n"] == 1
    assert again.find("b", "dense") is None and again.find("a", "blocks") is None
    torch.testing.assert_close(again.rows("a", "dense")["after"], kept["after"])
    again.add({"case": "b", "mode": "dense", "n": 2}, kept)
    assert Records(path).find("b", "dense")["n"] == 2
    assert json.loads(path.read_text().splitlines()[0])["n"] == 1


def record_of(*scores):
    tasks = ["passkey", "meaning"]
    return {
        "answers": [
            {"task": tasks[i % 2], "question": f"q{i}", "score": s} for i, s in enumerate(scores)
        ]
    }


def test_differences_are_paired():
    rows = compare([record_of(1, 1, 0, 0.5)], [record_of(1, 0, 1, 0.5)])
    assert [row["task"] for row in rows] == ["meaning", "passkey", "all"]
    assert [row["difference"] for row in rows] == [-0.5, 0.5, 0.0]
    assert rows[-1]["questions"] == 4 and rows[-1]["low"] < 0 < rows[-1]["high"]
    with pytest.raises(AssertionError, match="not the same"):
        compare([record_of(1)], [{"answers": [{"question": "?", "score": 1, "task": "passkey"}]}])


def test_the_interval_holds_the_mean_and_narrows():
    low, high = interval([0.0] * 50 + [1.0] * 50)
    assert 0.38 < low < 0.45 and 0.55 < high < 0.62
    wide = interval([0.0, 1.0] * 5)
    assert wide[1] - wide[0] > high - low
    assert interval([0.5] * 9) == (0.5, 0.5)


def test_agreement_ends_with_the_first_difference():
    assert agreement([1, 2, 3, 4], [1, 2, 9, 4]) == 0.5
    assert agreement([5], [5]) == 1.0 and agreement([5], [6]) == 0.0
    assert spread([1.0, 2.0, 9.0])["median"] == 2.0
