import pytest
import torch

from longctx.runtime.engine import Engine
from longctx.runtime.errors import ModelError
from longctx.runtime.loading import load_engine
from longctx.runtime.sampling import Sampling


@pytest.fixture(scope="module")
def directory(tiny_model_dir):
    return tiny_model_dir("qwen2")


def ids_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 512, (count,), generator=generator).tolist()


@pytest.mark.parametrize("step_size", [1, 63, 500, 512, 600])
def test_greedy_tokens_do_not_depend_on_the_step_size(directory, step_size):
    ids = ids_of(601)
    expected = list(load_engine(directory, numerics="float32").generate(ids, max_tokens=32))
    engine = load_engine(directory, numerics="float32")
    engine.step_size = step_size
    assert list(engine.generate(ids, max_tokens=32)) == expected


def test_a_shared_prefix_is_read_once(directory, steps_of):
    engine = load_engine(directory, numerics="float32")
    prefix, questions = ids_of(300), [ids_of(20, seed=1), ids_of(31, seed=2)]
    fresh = [
        list(load_engine(directory, numerics="float32").generate(prefix + q, max_tokens=16))
        for q in questions
    ]
    sizes = steps_of(engine)
    assert [list(engine.generate(prefix + q, max_tokens=16)) for q in questions] == fresh
    assert sizes[0] == 320
    assert max(sizes[1:]) == 31


def test_asking_the_same_again_reads_only_the_end(directory, steps_of):
    engine = load_engine(directory, numerics="float32")
    ids = ids_of(200)
    first = list(engine.generate(ids, max_tokens=1))
    sizes = steps_of(engine)
    assert list(engine.generate(ids, max_tokens=1)) == first
    assert sizes == [1]


def test_stop_ids_end_the_answer_and_are_not_part_of_it(directory):
    engine = load_engine(directory, numerics="float32")
    ids = ids_of(80)
    answer = list(engine.generate(ids, max_tokens=24))
    stop = answer[5]
    assert (
        list(engine.generate(ids, max_tokens=24, stop_ids={stop})) == answer[: answer.index(stop)]
    )


def test_choose_gives_the_probabilities_of_the_next_words(directory):
    engine = load_engine(directory, numerics="float32")
    ids, choices = ids_of(90), [[3], [5, 7], [5, 9, 11]]
    got = engine.choose(ids, choices)
    scores = []
    for choice in choices:
        fresh = load_engine(directory, numerics="float32")
        score = 0.0
        for index, token in enumerate(choice):
            with torch.inference_mode():
                logits = fresh._prefill(ids + choice[:index], None, lambda done, total: None)
            score += logits.log_softmax(-1)[token].item()
        scores.append(score)
    expected = torch.tensor(scores).softmax(-1).tolist()
    assert got == pytest.approx(expected, rel=1e-4)
    assert list(engine.generate(ids, max_tokens=8)) == list(
        load_engine(directory, numerics="float32").generate(ids, max_tokens=8)
    )


def test_an_interrupted_step_is_read_again(directory, steps_of):
    engine = load_engine(directory, numerics="float32")
    engine.step_size = 64
    ids = ids_of(300)
    expected = list(load_engine(directory, numerics="float32").generate(ids, max_tokens=8))

    def interrupt(done, total):
        if done > 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(engine.generate(ids, max_tokens=8, on_progress=interrupt))
    sizes = steps_of(engine)
    assert list(engine.generate(ids, max_tokens=8)) == expected
    assert sum(sizes) == 300 - 128


def test_progress_runs_from_what_is_read_to_the_whole_prompt(directory):
    engine = load_engine(directory, numerics="float32")
    engine.step_size = 100
    seen = []
    list(engine.generate(ids_of(250), max_tokens=1, on_progress=lambda *now: seen.append(now)))
    assert seen[0] == (0, 250)
    assert seen[-1] == (250, 250)
    assert seen == sorted(seen)
    assert len(seen) > 9


def test_a_prompt_over_the_window_is_refused(directory):
    engine = load_engine(directory, window=256)
    with pytest.raises(ModelError, match="250 tokens of prompt and 7 of answer .* 256"):
        list(engine.generate(ids_of(250), max_tokens=7))
    with pytest.raises(ModelError, match="empty"):
        list(engine.generate([], max_tokens=7))


def test_equal_seeds_write_equal_answers_and_other_seeds_do_not(directory):
    engine = load_engine(directory, numerics="float32")
    ids = ids_of(60)

    def write(seed):
        sampling = Sampling(temperature=1.5, top_p=0.95, seed=seed)
        return list(engine.generate(ids, max_tokens=24, sampling=sampling))

    assert write(1) == write(1)
    assert write(1) != write(2)


def test_an_unknown_architecture_runs_through_transformers_and_says_so(tiny_model_dir):
    directory = tiny_model_dir("gpt_neox")
    notices = []
    engine = load_engine(directory, numerics="float32", on_notice=notices.append)
    assert "transformers" in notices[0] and "gpt_neox" in notices[0]
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = ids_of(100)
    expected = []
    for _ in range(16):
        with torch.inference_mode():
            expected.append(int(model(torch.tensor([ids + expected])).logits[0, -1].argmax()))
    engine.step_size = 33
    assert list(engine.generate(ids, max_tokens=16)) == expected
    assert list(engine.generate(ids[:50], max_tokens=4)) == list(
        load_engine(directory, numerics="float32").generate(ids[:50], max_tokens=4)
    )


class Coarse:
    """A Reader whose rows are read alike only 8,192 at a time."""

    capacity, grid, numerics, most_rows = 20_000, 8_192, None, 1

    def __init__(self):
        self.starts, self.length = [], 0

    def read(self, token_ids, on_part, *, dense):
        self.starts.append(self.length)
        self.length += len(token_ids)
        return torch.zeros(9)

    def truncate(self, length):
        self.length = length


class Stored:
    """A PrefixKeeper that has so many tokens of every prompt."""

    grid = 512

    def __init__(self, reader, stored):
        self.reader, self.stored = reader, stored

    def restore(self, token_ids, question_start, kept):
        self.reader.length = min(self.stored, question_start)
        return self.reader.length

    def keep(self, end):
        pass

    settle = close = keep


@pytest.mark.parametrize(
    ("stored", "question", "start"),
    [(10_240, 12_000, 8_192), (8_192, 12_000, 8_192), (5_120, 12_000, 0), (12_000, 12_000, 12_000)],
)
def test_reading_goes_on_where_rows_that_are_read_alike_begin(stored, question, start):
    reader = Coarse()
    engine = Engine(reader, keeper=Stored(reader, stored))
    next(engine.generate([1] * 12_010, max_tokens=1, question_start=question))
    assert reader.starts[0] == start
