"""Tasks side by side: what is asked together, and what is shown in which order."""

import pytest

from longctx.cli.drive import drive
from longctx.kernels.linear import FEW_ROWS
from longctx.prompts.join import NO_DOCUMENTS
from longctx.prompts.question import Answer, Piece, Question, Result
from longctx.prompts.together import WIDTH, together


def task(name, asked, shows=0):
    """Asks `asked` questions one after another, and shows a Piece before each of the first."""
    heard = []
    for number in range(asked):
        if number < shows:
            assert (yield Piece(f"{name}.{number}", "")) is None
        said = yield Question(NO_DOCUMENTS, f"{name}{number}")
        heard.append(said.text)
    return heard


def run(groups, skip=()):
    """The rounds of questions, the Pieces in their order, and what each group came to."""
    rounds, shown, found = [], [], {}

    def make(index, results):
        found[index] = results
        return [] if index in skip else [Piece(f"group {index}", "")]

    def job():
        yield from together(groups, make)
        return Result("test")

    def ask_each(questions):
        rounds.append([one.text for one in questions])
        return [Answer(one.text.upper()) for one in questions]

    drive(job(), lambda question: Answer(), shown.append, ask_each=ask_each)
    return rounds, [piece.heading for piece in shown], found


def test_its_width_is_what_the_runtime_writes_at_once():
    assert WIDTH == FEW_ROWS


def test_the_questions_of_different_tasks_come_together_and_those_of_one_in_turn():
    rounds, shown, found = run([[task("a", 2)], [task("b", 1)], [task("c", 3)]])
    assert rounds == [["a0", "b0", "c0"], ["a1", "c1"], ["c2"]]
    assert shown == ["group 0", "group 1", "group 2"]
    assert found == {0: [["A0", "A1"]], 1: [["B0"]], 2: [["C0", "C1", "C2"]]}


@pytest.mark.parametrize("count", [1, WIDTH, WIDTH + 1, 3 * WIDTH - 1])
def test_never_more_than_its_width_and_never_fewer_while_there_are_some(count):
    rounds, _, found = run([[task(f"{n}-", 1 + n % 3)] for n in range(count)])
    assert all(len(one) <= WIDTH for one in rounds)
    asked = [text for one in rounds for text in one]
    assert len(asked) == sum(1 + n % 3 for n in range(count))
    assert [len(one) for one in rounds[: count // WIDTH]] == [WIDTH] * (count // WIDTH)
    assert {n: [[f"{n}-{i}" for i in range(1 + n % 3)]] for n in range(count)} == found


def test_what_is_done_early_waits_for_what_comes_before_it():
    rounds, shown, _ = run([[task("a", 3)], [task("b", 1, shows=1)], [], [task("c", 2, shows=2)]])
    assert len(rounds) == 3
    assert shown == ["group 0", "b.0", "group 1", "group 2", "c.0", "c.1", "group 3"]


def test_a_group_of_several_tasks_has_their_results_in_order():
    _, shown, found = run([[task("a", 2), task("b", 1), task("c", 0)]], skip={0})
    assert found == {0: [["A0", "A1"], ["B0"], []]}
    assert shown == []


def test_nothing_asks_nothing():
    assert run([]) == ([], [], {})
    assert run([[], []]) == ([], ["group 0", "group 1"], {0: [], 1: []})


def test_without_one_who_answers_several_each_is_asked_by_itself():
    asked = []

    def job():
        yield from together([[task("a", 1)], [task("b", 1)]], lambda index, found: [])
        return Result("test")

    drive(job(), lambda question: asked.append(question.text) or Answer(), lambda piece: None)
    assert asked == ["a0", "b0"]
