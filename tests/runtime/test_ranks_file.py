import pytest

from longctx.runtime.byte_pair import Ranks
from longctx.runtime.ranks_file import load, save
from longctx.runtime.special_tokens import SpecialTokens

RANKS = Ranks(r"\s+|\S+", True, {b"a": 0, b"\n": 1, bytes(range(256)) * 200: 4_000_000_000})
SPECIALS = SpecialTokens({"<|é|>": 7}, r"<\|é\|>", (7,))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tokenizer.ranks"
    save(path, "digest", RANKS, SPECIALS)
    return path


def test_what_was_saved_is_loaded(path):
    assert load(path, "digest") == (RANKS, SPECIALS)
    assert list(path.parent.iterdir()) == [path]


def test_another_tokenizer_is_not_loaded(path):
    assert load(path, "other") is None


def test_a_missing_file_is_not_loaded(path):
    path.unlink()
    assert load(path, "digest") is None


@pytest.mark.parametrize("damage", [-1, 1, -30_000, -51_300])
def test_a_damaged_file_is_not_loaded(path, damage):
    data = path.read_bytes()
    path.write_bytes(data + b"x" * damage if damage > 0 else data[:damage])
    assert load(path, "digest") is None


@pytest.mark.parametrize("data", [b"", b"\n", b"null\n", b"{}\n", b'{"format": 1}\n', b"\xff\n"])
def test_no_ranks_file_at_all_is_not_loaded(path, data):
    path.write_bytes(data)
    assert load(path, "digest") is None


def test_a_folder_that_takes_no_file_is_no_error(tmp_path):
    save(tmp_path / "missing" / "tokenizer.ranks", "digest", RANKS, SPECIALS)
    assert not (tmp_path / "missing").exists()
