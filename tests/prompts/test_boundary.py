import os
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from longctx.ingest.document import Document
from longctx.ingest.errors import InputError
from longctx.prompts.boundary import close_mark, document_mark, load_key, open_mark

KEY = b"k" * 32


def document(name: str = "a.py", digest: str = "00") -> Document:
    return Document(name, "x\n", "code", digest)


def test_a_mark_depends_on_key_digest_and_name_and_on_nothing_else() -> None:
    mark = document_mark(KEY, document())
    assert len(mark) == 10 and int(mark, 16) >= 0
    assert mark == document_mark(KEY, Document("a.py", "other text", "prose", "00"))
    others = [
        document_mark(b"j" * 32, document()),
        document_mark(KEY, document(name="b.py")),
        document_mark(KEY, document(digest="01")),
    ]
    assert len({mark, *others}) == 4


@pytest.mark.parametrize(
    "name", ['a" lines="9', "a>b</document>", "a\nb", "a\u2028b", "a\x1b[31m", "a\udcffb"]
)
def test_a_name_cannot_break_out_of_its_mark(name: str) -> None:
    line = open_mark(document(name), "0123456789")
    assert line.startswith('<document id="0123456789" name="a')
    assert line.count("\n") == 1 and line.count('"') == 6
    assert line.count("<") == line.count(">") == 1
    assert line[:-1].isprintable()


def test_the_marks_of_a_paged_document_and_the_end() -> None:
    assert open_mark(document(), "ab") == '<document id="ab" name="a.py" lines="1">\n'
    assert close_mark("ab") == '</document id="ab">\n\n'


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "store" / "key"
    key = load_key(path)
    assert len(key) == 32 and load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["key"]


def test_processes_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        keys = list(pool.map(load_key, [tmp_path / "key"] * 16))
    assert len(set(keys)) == 1
    assert os.listdir(tmp_path) == ["key"]


def test_a_damaged_key_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="has 5 bytes, expected 32") as caught:
        load_key(path)
    assert str(path) in caught.value.hint
    with pytest.raises(InputError, match="cannot use the key file"):
        load_key(path / "below")
