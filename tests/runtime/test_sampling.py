import pytest
import torch

from longctx.runtime.sampling import Sampling, choose_token


def draw(logits, sampling, written=(), count=2000):
    generator = sampling.generator()
    logits = torch.tensor(logits)
    return [choose_token(logits, sampling, written, generator) for _ in range(count)]


def test_temperature_0_takes_the_likeliest():
    assert set(draw([0.1, 3.0, 2.9], Sampling(), count=3)) == {1}


def test_frequencies_follow_the_softmax_at_the_temperature():
    drawn = draw([0.0, 1.0, 2.0], Sampling(temperature=0.5, seed=7), count=20_000)
    expected = (torch.tensor([0.0, 1.0, 2.0]) / 0.5).softmax(-1).tolist()
    for token, probability in enumerate(expected):
        assert drawn.count(token) / len(drawn) == pytest.approx(probability, abs=0.015)


def test_top_p_keeps_the_fewest_that_reach_it():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert set(draw(logits, Sampling(temperature=1.0, top_p=0.79))) == {0, 1}
    assert set(draw(logits, Sampling(temperature=1.0, top_p=0.81))) == {0, 1, 2}
    assert set(draw(logits, Sampling(temperature=1.0, top_p=0.01))) == {0}


def test_min_p_drops_what_is_far_below_the_likeliest():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert set(draw(logits, Sampling(temperature=1.0, min_p=0.2))) == {0, 1, 2}


def test_the_penalty_lowers_what_is_written_whatever_its_sign():
    assert draw([2.0, 1.9, -5.0], Sampling(repetition_penalty=1.2), [0], count=1) == [1]
    assert draw([-1.0, -1.1, -5.0], Sampling(repetition_penalty=1.2), [0], count=1) == [1]
    assert draw([2.0, 1.9, -5.0], Sampling(repetition_penalty=1.2), [], count=1) == [0]
