import pytest

from longctx.runtime import token_counts
from longctx.runtime.token_counts import FILE_NAME, TokenCounts


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "source.json").write_text("{}")
    return tmp_path


def counted(directory):
    """Counts that also tell which texts the tokenizer itself was asked for."""
    asked = []

    def count(text):
        asked.append(text)
        return len(text)

    return TokenCounts(directory, count), asked


def test_a_text_is_counted_once_in_any_number_of_processes(directory):
    first, asked = counted(directory)
    assert [first.count(text) for text in ("", "one", "three", "one", "\ud800")] == [0, 3, 5, 3, 1]
    assert asked == ["", "one", "three", "\ud800"]
    second, asked = counted(directory)
    assert second.count("three") == 5 and asked == []


def test_another_tokenizer_counts_anew(directory):
    counted(directory)[0].count("text")
    (directory / "tokenizer.json").write_text('{"other": 1}')
    again, asked = counted(directory)
    assert again.count("text") == 4 and asked == ["text"]


def test_only_an_installed_model_gets_a_file(directory):
    (directory / "source.json").unlink()
    counts, asked = counted(directory)
    assert [counts.count("text"), counts.count("text")] == [4, 4] and asked == ["text"]
    assert not (directory / FILE_NAME).exists()


def test_the_file_is_for_its_owner_only(directory):
    counted(directory)[0].count("text")
    assert (directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_torn_file_is_begun_again(directory):
    counted(directory)[0].count("text")
    path = directory / FILE_NAME
    path.write_bytes(path.read_bytes()[:-1])
    again, asked = counted(directory)
    assert again.count("text") == 4 and asked == ["text"]
    assert counted(directory)[0].count("text") == 4 and path.stat().st_size == 20


def test_a_full_file_is_begun_again(directory, monkeypatch):
    monkeypatch.setattr(token_counts, "_LIMIT_BYTES", 40)
    counts, _ = counted(directory)
    for text in ("a", "b", "c"):
        counts.count(text)
    again, asked = counted(directory)
    again.count("a")
    assert asked == ["a"] and (directory / FILE_NAME).stat().st_size == 20


def test_a_file_that_cannot_be_written_is_no_error(directory):
    (directory / FILE_NAME).mkdir()
    counts, _ = counted(directory)
    assert counts.count("text") == 4
