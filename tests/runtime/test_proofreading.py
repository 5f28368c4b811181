"""What a model would have written otherwise, against all likelihoods computed anew."""

import math

import pytest
import torch

from longctx.runtime.errors import ModelError
from longctx.runtime.loading import load_engine
from longctx.runtime.proofreading import FOLLOWING, LEAD, SLACK, proofread
from longctx.runtime.reader import Reader

NUM_TOKENS = 50


class Counting(Reader):
    """Holds each number for likely to follow the one before it; all but `kept` is forgotten."""

    def __init__(self, capacity=4_096):
        self.capacity = capacity
        self.ids = []
        self.most = 0

    def decode(self, token_ids):
        self.ids += token_ids.tolist()
        self.most = max(self.most, len(self.ids))
        assert len(self.ids) <= self.capacity
        logits = torch.zeros(len(token_ids), NUM_TOKENS)
        logits[range(len(token_ids)), (token_ids + 1) % NUM_TOKENS] = 8.0
        return logits

    def truncate(self, length):
        del self.ids[length:]


def logits_of(ids):
    return Counting().decode(torch.tensor(ids))


def looked_at_all(ids, reader=None, surprise=2.0):
    return proofread(reader or Counting(), ids, [surprise] * len(ids))


def likelihood(logits_of, ids):
    """The log of the probability of all but the first, read from nothing."""
    logs = logits_of(ids[:-1]).log_softmax(-1)
    return float(sum(logs[row, following] for row, following in enumerate(ids[1:])))


@pytest.mark.parametrize(
    ("ids", "start", "end", "written"),
    [
        ([1, 2, 3, 30, 5, 6, 7, 8], 3, 4, (4,)),
        ([1, 2, 3, 5, 6, 7, 8, 9], 3, 3, (4,)),
        ([1, 2, 3, 20, 20, 20, 4, 5, 6, 7], 3, 6, ()),
        ([1, 2, 3, 20, 30, 7, 8, 9, 10], 3, 5, (4, 5, 6)),
    ],
    ids=["other", "missing", "too much", "several"],
)
def test_an_edit_is_where_the_text_leaves_what_is_likely(ids, start, end, written):
    edit = looked_at_all(ids)[0]
    assert (edit.start, edit.end, edit.token_ids) == (start, end, written)
    # what is likelier behind the place is what the edit makes of the whole, less the place itself
    whole = [*ids[:start], *written, *ids[end:]]
    gain = likelihood(logits_of, whole) - likelihood(logits_of, ids)
    assert edit.here + edit.after == pytest.approx(gain, abs=1e-4)
    assert edit.after > 4


def test_nothing_is_found_where_nothing_is_looked_for_or_all_is_likely():
    ids = [1, 2, 3, 30, 5, 6, 7, 8]
    assert proofread(Counting(), ids, [math.inf] * len(ids)) == []
    assert proofread(Counting(), ids, [9.0] * len(ids)) == []
    assert looked_at_all(list(range(30))) == []
    assert looked_at_all([7]) == []
    assert looked_at_all([]) == []


def test_words_that_do_not_meet_the_text_again_are_no_edit():
    assert looked_at_all([1, 2, 3, *[40, 20] * 20])[:1] == []


def test_no_edit_goes_over_a_line():
    ids = [1, 2, 3, 20, 21, 30, 7, 8, 9, 10]
    (edit,) = looked_at_all(ids)
    assert (edit.start, edit.end, edit.token_ids) == (3, 6, (4, 5, 6))
    for line_end in (5, 20, 21, 30):
        found = proofread(Counting(), ids, [2.0] * len(ids), {line_end}.__contains__)
        assert not any(line_end in (*ids[one.start : one.end], *one.token_ids) for one in found)


def test_a_long_text_is_read_in_stretches_and_nothing_is_lost_at_their_borders():
    count = 3_000
    ids = [number % NUM_TOKENS for number in range(count)]
    places = [*range(10, count - 10, 97), SLACK, LEAD, count - 3]
    for place in places:
        ids[place] = (ids[place] + 20) % NUM_TOKENS
    told = []
    reader = Counting(capacity=300)
    found = proofread(reader, ids, [2.0] * count, on_progress=lambda *done: told.append(done))
    assert found == looked_at_all(ids)
    assert {one.start for one in found} >= set(places)
    assert len({one.start for one in found}) == len(found)
    done = [first for first, total in told]
    assert done == sorted(done)
    assert {total for _, total in told} == {count}


def test_what_follows_is_compared_over_so_many_tokens_and_no_more():
    ids = [*range(5), 30, *range(6, 6 + FOLLOWING), 30, 31]
    (edit, *_) = looked_at_all(ids)
    longer = looked_at_all([*ids, *range(7, 40)])[0]
    assert edit == longer
    # of what follows only the first is likelier
    assert edit.after == pytest.approx(8.0, abs=1e-4)


def test_what_comes_behind_the_last_place_is_not_read():
    ids = [number % NUM_TOKENS for number in range(1_000)]
    ids[100], ids[500] = 20, 20
    least = [2.0] * 101 + [math.inf] * 899
    reader = Counting()
    found = proofread(reader, ids, least)
    assert found == [one for one in looked_at_all(ids) if one.start <= 100]
    assert found
    assert reader.most <= 100 + SLACK


def test_a_window_of_few_tokens_is_refused():
    ids = [number % NUM_TOKENS for number in range(500)]
    assert looked_at_all(ids, Counting(3 * SLACK)) == []
    with pytest.raises(ModelError, match="a window of 100 tokens is too small"):
        looked_at_all(ids, Counting(100))


@pytest.mark.parametrize("count", [2, 65, 513, 700])
def test_likelihoods_of_the_own_decoder_are_those_of_its_answers(tiny_model_dir, count):
    reader = load_engine(tiny_model_dir("qwen2"), numerics="float32").reader
    generator = torch.Generator().manual_seed(count)
    ids = torch.randint(0, 500, (count,), generator=generator)
    found = reader.likelihoods(ids[:-1], ids[1:])
    reader.truncate(0)
    expected = Reader.likelihoods(reader, ids[:-1], ids[1:])
    torch.testing.assert_close(found.actual, expected.actual, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(found.rivals, expected.rivals, atol=2e-5, rtol=1e-5)
    assert torch.equal(found.rival_ids, expected.rival_ids)
    assert (found.rivals >= found.actual).all()


def test_edits_of_a_model_are_what_all_its_likelihoods_say(tiny_model_dir):
    engine = load_engine(tiny_model_dir("qwen2"), numerics="float32")
    prompt = torch.randint(0, 500, (9,), generator=torch.Generator().manual_seed(2)).tolist()
    # what it goes on with itself is likely, what is put in is not
    ids = [*prompt, *engine.generate(prompt, max_tokens=40)]
    ids[30] = (ids[30] + 17) % 500
    found = [one for one in proofread(engine.lend(), ids, [0.0] * len(ids)) if one.start >= 9]
    assert found

    def all_logits(some):
        reader = engine.lend()
        return torch.cat([reader.decode(torch.tensor([one])) for one in some])

    for edit in found:
        other = [*ids[: edit.start], *edit.token_ids, *ids[edit.end : edit.end + FOLLOWING]]
        until = ids[: edit.end + FOLLOWING]
        gain = likelihood(all_logits, other) - likelihood(all_logits, until)
        assert edit.here + edit.after == pytest.approx(gain, abs=1e-3)
    # the Engine is of use afterwards
    assert list(engine.generate(prompt, max_tokens=20)) == ids[9:29]
