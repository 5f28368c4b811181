"""What an answer goes on with, guessed from its prompt."""

import numpy as np
import pytest
import torch

from longctx.runtime.engine import Engine
from longctx.runtime.loading import load_engine
from longctx.runtime.lookup import guessed
from longctx.runtime.sampling import Sampling


def after(read, token, count=3):
    return guessed(np.array(read, dtype=np.int64), token, count)


def test_what_followed_the_same_three_tokens_is_guessed():
    assert after([1, 2, 3, 4, 5, 6, 9, 1, 2], 3) == [4, 5, 6]


def test_two_tokens_in_common_are_too_few():
    assert after([1, 2, 3, 4, 5, 9, 8, 2], 3) == []


def test_the_longest_match_wins_and_then_the_latest():
    read = [7, 1, 2, 3, 40, 8, 1, 2, 3, 50, 8, 1, 2, 3, 60, 7, 1, 2]
    assert after(read, 3, 1) == [40]
    assert after([*read[:-3], 8, 1, 2], 3, 1) == [60]


@pytest.mark.parametrize("read", [[], [1], [1, 2], [3, 3], [1, 2, 3]])
def test_short_beginnings_give_no_guess_or_a_true_one(read):
    assert after(read, 3) in ([], [3])


def test_a_guess_may_run_into_the_answer_itself():
    assert after([5, 6, 5, 6, 5, 6, 5], 6) == [5, 6]
    assert after([1, 2, 3, 4, 1, 2], 3, 5) == [4, 1, 2, 3]


class Parrot:
    """A Reader whose likeliest next token is a fixed function of the last two."""

    capacity, grid, numerics, most_rows = 512, 1, None, 4

    def __init__(self, table):
        self.table, self.read_ids, self.passes = table, [], 0

    def read(self, token_ids, on_part, *, dense):
        return self.decode(token_ids)[-1]

    def decode(self, token_ids):
        self.passes += 1
        rows = []
        for token in token_ids.tolist():
            self.read_ids.append(token)
            logits = torch.zeros(50)
            logits[self.table.get(tuple(self.read_ids[-2:]), (token * 7 + 1) % 50)] = 1
            rows.append(logits)
        return torch.stack(rows)

    def truncate(self, length):
        del self.read_ids[length:]


def answer(engine, ids, **options):
    return list(engine.generate(ids, **options))


def test_a_quoting_answer_takes_fewer_passes_and_stays_the_same():
    prompt = [*range(1, 30), 40, 1]
    quoting = {(40, 1): 2, **{(i, i + 1): i + 2 for i in range(1, 28)}}
    reader = Parrot(quoting)
    engine = Engine(reader)
    said = answer(engine, prompt, max_tokens=20)
    assert said == list(range(2, 22))
    assert engine.num_foreseen > 10
    assert reader.passes < 12


def test_guesses_that_fail_change_nothing():
    # the same three tokens go on otherwise the second time
    prompt = [1, 2, 3, 4, 5, 1, 2]
    table = {(1, 2): 3, (2, 3): 9, (3, 9): 1, (9, 1): 2, (2, 4): 7}
    engine = Engine(Parrot(table))
    said = answer(engine, prompt, max_tokens=12)
    assert said == [3, 9, 1, 2, 3, 9, 1, 2, 3, 9, 1, 2]
    assert engine.num_guessed > engine.num_foreseen
    # what is remembered is what was said, whatever was guessed
    known = [*prompt, *said[:-1]]
    assert engine.reader.read_ids[: len(known)] == known


def test_stop_ids_and_lengths_hold_within_a_guess():
    prompt = [*range(1, 30), 40, 1]
    quoting = {(40, 1): 2, **{(i, i + 1): i + 2 for i in range(1, 28)}}
    for length in range(1, 9):
        assert answer(Engine(Parrot(quoting)), prompt, max_tokens=length) == list(
            range(2, 2 + length)
        )
        stopped = answer(Engine(Parrot(quoting)), prompt, max_tokens=20, stop_ids={2 + length})
        assert stopped == list(range(2, 2 + length))


@pytest.fixture
def tiny_engine(tiny_model_dir):
    # of sizes that the loops take, in which a row comes out the same whatever is read with it
    return load_engine(tiny_model_dir("qwen2", head_dim=64))


def test_sampled_answers_are_not_guessed(tiny_engine):
    sampling = Sampling(temperature=1.0, seed=3)
    list(tiny_engine.generate([5, 6, 7] * 10, max_tokens=20, sampling=sampling))
    assert tiny_engine.num_guessed == 0


def test_greedy_answers_of_a_model_are_the_same_with_guesses_and_without(tiny_engine, monkeypatch):
    for seed in range(5):
        seeded = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 40, (30,), generator=seeded).tolist() * 3
        with_guesses = list(tiny_engine.generate(ids, max_tokens=40))
        with monkeypatch.context() as patch:
            patch.setattr(type(tiny_engine.reader), "most_rows", 1)
            assert list(tiny_engine.generate(ids, max_tokens=40)) == with_guesses
    assert tiny_engine.num_guessed > 0
