"""What was proofread before: found again for the same text, and for nothing else."""

import math

import pytest

from longctx.runtime import kept_edits
from longctx.runtime.kept_edits import KeptEdits
from longctx.runtime.loading import load_engine
from longctx.runtime.proofreading import SLACK, Edit
from longctx.runtime.sight import Sight

IDS, LEAST = [5, 6, 7, 8], [math.inf, 4.0, 1.0, 4.0]
EDITS = [Edit(1, 2, (9, 10), 3.25, -0.5), Edit(3, 3, (11,), 1e-3, 7.0)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "proofread.jsonl"


@pytest.fixture
def opened(tiny_model_dir, path):
    """A function that opens what is kept for a model that is loaded so."""

    def open_kept(kind="qwen2", window=300, **settings):
        directory = tiny_model_dir(kind)
        reader = load_engine(directory, window=window, **settings).reader
        return KeptEdits(path, reader, directory)

    return open_kept


def test_what_was_found_in_a_text_is_found_again(opened, path):
    kept = opened(numerics="float32")
    name = kept.name(IDS, LEAST)
    assert kept.find(name) is None
    kept.keep(name, EDITS)
    kept.keep(kept.name(IDS[:3], LEAST[:3]), [])
    again = opened(numerics="float32")
    assert again.find(again.name(IDS, LEAST)) == EDITS
    assert again.find(again.name(IDS[:3], LEAST[:3])) == []
    assert path.stat().st_mode & 0o077 == 0


def test_another_text_place_model_number_or_cut_has_another_name(opened):
    names = [
        kept.name(ids, least)
        for kept, ids, least in [
            (opened(numerics="float32"), IDS, LEAST),
            (opened(numerics="float32"), [5, 6, 7, 9], LEAST),
            (opened(numerics="float32"), IDS, [math.inf, 4.0, 4.0, 4.0]),
            (opened("llama", numerics="float32"), IDS, LEAST),
            (opened(numerics="bfloat16"), IDS, LEAST),
            (opened(numerics="float32", sight=Sight(decoding="blocks")), IDS, LEAST),
        ]
    ]
    assert len(set(names)) == len(names)
    long = [1] * 400
    assert opened(window=300).name(long, long) != opened(window=310).name(long, long)
    short = [1] * (300 - SLACK)
    assert opened(window=300).name(short, short) == opened(window=310).name(short, short)


def test_a_file_that_is_damaged_torn_or_full_is_no_error(opened, path, monkeypatch):
    kept = opened(numerics="float32")
    name = kept.name(IDS, LEAST)
    kept.keep(name, EDITS)
    whole = path.read_bytes()
    for damaged in (
        whole[:-9],
        whole.replace(b"edits", b"stide"),
        whole.replace(b"{", b"\xff"),
        b"",
    ):
        path.write_bytes(damaged)
        assert opened(numerics="float32").find(name) is None
        kept.keep(name, EDITS)
    path.write_bytes(whole[:60])
    kept.keep(name, EDITS)
    assert opened(numerics="float32").find(name) == EDITS
    monkeypatch.setattr(kept_edits, "_LIMIT_BYTES", 10)
    kept.keep(kept.name(IDS[:2], LEAST[:2]), [])
    again = opened(numerics="float32")
    assert again.find(name) is None
    assert again.find(again.name(IDS[:2], LEAST[:2])) == []
    path.unlink()
    path.mkdir()
    kept.keep(name, EDITS)
    assert opened(numerics="float32").find(name) is None
