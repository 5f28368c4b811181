"""Answers that are written side by side, against the same answers written one after another."""

import pytest
import torch

from longctx.kernels.flash import has_flash, has_tile_products
from longctx.runtime.branches import Branches
from longctx.runtime.grammar import Grammar
from longctx.runtime.loading import load_engine
from longctx.runtime.sampling import Sampling
from longctx.runtime.sight import Sight
from longctx.runtime.writing import Request

needs_flash = pytest.mark.skipif(not has_flash(), reason="this processor has no form of `flash`")

ROOM = 1_024


@pytest.fixture(scope="module", params=["qwen2", "qwen3", "llama"])
def directory(request, tiny_model_dir):
    return tiny_model_dir(request.param, head_dim=64, max_position_embeddings=ROOM)


@pytest.fixture(scope="module")
def plain(tiny_model_dir):
    return tiny_model_dir("qwen2", head_dim=64, max_position_embeddings=ROOM)


def ids_of(count, seed=0):
    return torch.randint(0, 500, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def prompts_of(shared, tails):
    return [ids_of(shared) + [seed, *ids_of(tail, seed)] for seed, tail in enumerate(tails, 1)]


def logits_of(engine, prompt, answer):
    """The logits behind the prompt and each token of the answer, one after another."""
    reader = engine.reader
    reader.truncate(0)
    with torch.inference_mode():
        rows = [reader.read(torch.tensor(prompt), lambda share: None, dense=True)]
        rows += [reader.decode(torch.tensor([token]))[0] for token in answer]
    return torch.stack(rows)


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


def beside(engine, prompts, shared, steps, alive=lambda step, branch: True):
    """The logits of each Branch, the ids of its answer in turn, as Branches have them."""
    reader, longest = engine.reader, max(map(len, prompts))
    rooms = [len(prompt) - shared + steps for prompt in prompts]
    branches = reader.branches(shared, longest, rooms)
    assert isinstance(branches, Branches)
    answers, rows = [ids_of(steps, 50 + n) for n in range(len(prompts))], [[] for _ in prompts]
    taken = [0] * len(prompts)
    with torch.inference_mode():
        for branch, prompt in enumerate(prompts):
            reader.truncate(0)
            reader.read(torch.tensor(prompt), lambda share: None, dense=True)
            branches.park(branch)
        for step in range(steps):
            going = [branch for branch in range(len(prompts)) if alive(step, branch)]
            ids = [answers[branch][taken[branch]] for branch in going]
            for branch, row in zip(going, branches.decode(going, ids), strict=True):
                rows[branch].append(row)
                taken[branch] += 1
    return [torch.stack(some) for some in rows], answers


def check(directory, prompts, found, answers, **options):
    """Hold the logits against those written alone, and both against float32."""
    alone = load_engine(directory, window=ROOM, numerics="narrow", **options)
    exact = load_engine(directory, window=ROOM, numerics="float32", **options)
    off = {"beside": 0.0, "alone": 0.0}
    for prompt, rows, answer in zip(prompts, found, answers, strict=True):
        expected = logits_of(alone, prompt, answer[: len(rows)])[1:]
        # what rounding to 8 bits makes of rows that differ in their last bits; where prompts are
        # read in tiles one row of 1,600 is 0.054 apart
        apart = sorted(map(distance, rows, expected))
        assert apart[len(apart) // 2] < 0.03
        assert apart[-1] < (0.06 if has_tile_products() else 0.05)
        true = logits_of(exact, prompt, answer[: len(rows)])[1:]
        off["beside"] += sum(map(distance, rows, true))
        off["alone"] += sum(map(distance, expected, true))
    assert off["beside"] <= 1.05 * off["alone"], off


@needs_flash
@pytest.mark.parametrize(
    ("shared", "tails"), [(1, (0, 70)), (63, (1, 62, 130)), (64, (64, 63, 1, 0)), (200, (7, 300))]
)
def test_side_by_side_is_as_alone(directory, shared, tails):
    prompts = prompts_of(shared, tails)
    engine = load_engine(directory, window=ROOM, numerics="narrow")
    check(directory, prompts, *beside(engine, prompts, shared, 67))


@needs_flash
def test_some_go_on_when_others_have_ended(plain):
    prompts = prompts_of(70, (9, 64, 3))
    engine = load_engine(plain, window=ROOM, numerics="narrow")
    found, answers = beside(
        engine, prompts, 70, 20, alive=lambda step, branch: step < 20 - 6 * branch
    )
    assert [len(rows) for rows in found] == [20, 14, 8]
    check(plain, prompts, found, answers)


@needs_flash
def test_in_the_first_chunk_of_many(plain):
    sight = Sight(extend="dca", window=4 * ROOM)
    engine = load_engine(plain, window=ROOM, numerics="narrow", sight=sight)
    reader, stride = engine.reader, engine.reader.decoder.reach.stride
    prompts = prompts_of(100, (20, 90))
    check(plain, prompts, *beside(engine, prompts, 100, 12), sight=sight)
    assert reader.branches(100, 200, [stride - 100, 9]) is not None
    assert reader.branches(100, 200, [stride - 99, 9]) is None, "two Chunks are seen"


def test_none_where_there_is_no_room_or_no_loop(plain):
    reader = load_engine(plain, window=400, numerics="narrow").reader
    assert reader.branches(100, 200, [101, 100]) is None, "no room behind what is read"
    assert reader.branches(100, 200, [30] * 5) is None, "more than are read at once"
    assert reader.branches(0, 200, [30] * 2) is None, "nothing is shared"
    exact = load_engine(plain, window=ROOM, numerics="float32").reader
    assert exact.branches(100, 200, [30] * 2) is None, "weights as they are stored"
    if has_flash():
        assert reader.branches(100, 200, [100, 100]) is not None
        sight = Sight(decoding="blocks:dense_below=64,max_keys=256,sinks=1,window=1")
        chosen = load_engine(plain, window=ROOM, numerics="narrow", sight=sight).reader
        assert chosen.branches(30, 40, [34, 34]) is not None
        assert chosen.branches(30, 40, [35, 34]) is None, "it chooses its Blocks"
        eights = load_engine(plain, window=ROOM, numerics="narrow", kv8=True).reader
        assert eights.branches(30, 40, [34, 34]) is None, "keys in 8 bits"


def requests_of(prompts, **options):
    return [Request(prompt, 24, question_start=60, **options) for prompt in prompts]


@needs_flash
def test_each_answer_is_the_one_that_its_own_logits_make(directory):
    prompts = prompts_of(60, (5, 130, 64))
    engine = load_engine(directory, window=ROOM, numerics="narrow")
    answers = [list(ids) for ids in engine.generate_each(requests_of(prompts))]
    assert engine.num_guessed == 0, "written side by side, nothing is read ahead"
    alone = load_engine(directory, window=ROOM, numerics="narrow")
    for prompt, answer in zip(prompts, answers, strict=True):
        assert len(answer) == 24
        rows = logits_of(alone, prompt, answer)[:-1]
        chosen = rows.gather(1, torch.tensor(answer)[:, None])[:, 0]
        assert ((rows.max(1).values - chosen) / rows.std(1)).max() < 0.05
    # what was read last stays: asked again, it pays for the one token whose logits are wanted
    done = []
    list(
        engine.generate(
            prompts[2],
            max_tokens=1,
            question_start=60,
            on_progress=lambda read, total: done.append(read),
        )
    )
    assert done[0] == len(prompts[2]) - 1


@needs_flash
def test_an_answer_ends_by_its_stop_its_length_or_its_reader(plain):
    prompts = prompts_of(60, (5, 33, 20, 11))
    engine = load_engine(plain, window=ROOM, numerics="narrow")
    answers = [list(ids) for ids in engine.generate_each(requests_of(prompts))]
    stop = answers[1][5]
    mixed = requests_of(prompts)
    mixed[0] = Request(prompts[0], 1, question_start=60)
    mixed[1] = Request(prompts[1], 24, {stop}, question_start=60)
    streams = engine.generate_each(mixed)
    first = [list(streams[0]), list(streams[1])]
    assert first[0] == answers[0][:1]
    assert first[1] == answers[1][: answers[1].index(stop)]
    assert [next(streams[2]) for _ in range(3)] == answers[2][:3]
    streams[2].close()
    assert list(streams[3]) == answers[3], "what others do is nothing to it"
    assert list(streams[2]) == []


@pytest.mark.parametrize("numerics", ["float32", "narrow"])
def test_one_request_or_none_side_by_side_is_generate(plain, numerics):
    engine = load_engine(plain, window=ROOM if numerics == "float32" else 120, numerics=numerics)
    prompts = prompts_of(60, (5, 33))
    expected = [list(engine.generate(p, max_tokens=24, question_start=60)) for p in prompts]
    assert [list(ids) for ids in engine.generate_each(requests_of(prompts))] == expected
    (alone,) = engine.generate_each(requests_of(prompts[:1]))
    assert list(alone) == expected[0]


@needs_flash
def test_each_follows_its_grammar_and_its_seed(plain):
    schema = '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}'
    engine = load_engine(plain, window=ROOM, numerics="narrow")
    from longctx.runtime.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(plain)
    grammar = Grammar(plain, min(tokenizer.stop_ids), schema)
    prompts = prompts_of(60, (5, 33))
    sampling = Sampling(temperature=1.0, seed=3)
    requests = [
        Request(prompts[0], 24, question_start=60, grammar=grammar),
        Request(prompts[1], 24, question_start=60, sampling=sampling),
    ]
    form, free = engine.generate_each(requests)
    assert tokenizer.decode(list(form)) in ('{"n": 1}', '{"n": 2}')
    (alone,) = engine.generate_each(requests[1:])
    assert next(alone) == next(free)


@needs_flash
def test_the_rows_that_score_the_likeliest_words_are_let_go_of(plain):
    engine, released = load_engine(plain, window=ROOM, numerics="narrow"), []
    engine.reader._release = released.append
    prompts = prompts_of(60, (5, 33, 20))
    for ids in engine.generate_each(requests_of(prompts)):
        list(ids)
    # reading lets go of the embedding, which is the head here, after each Step: two of the first
    assert len(released) == 4 + 3 * 23 // 16
