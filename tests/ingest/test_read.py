import hashlib
import os
from pathlib import Path

from longctx.ingest import read as reading
from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read import read, read_all


def test_documents_and_skipped_come_apart_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    (tmp_path / "b.bin").write_bytes(b"\0\1\2\3")
    sources = [Source(name, path=tmp_path / name) for name in ("a.py", "b.bin", "gone.txt")]
    documents, skipped = read_all([*sources, Source("stdin", data=b"hello\n")])
    assert [(item.name, item.kind, item.text) for item in documents] == [
        ("a.py", "code", "x = 1\n"),
        ("stdin", "prose", "hello\n"),
    ]
    assert documents[0].digest == hashlib.sha256(b"x = 1\r\n").hexdigest()
    assert skipped == [
        Skipped("b.bin", "binary"),
        Skipped("gone.txt", "no such file or directory"),
    ]


def test_a_file_that_became_a_pipe_or_a_link_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_text("secret\n")
    (tmp_path / "link").symlink_to("target")
    assert read(Source("pipe", path=tmp_path / "pipe")) == Skipped("pipe", "not a regular file")
    assert isinstance(read(Source("link", path=tmp_path / "link")), Skipped)


def test_a_pdf_is_known_by_its_first_bytes_whatever_its_name() -> None:
    item = read(Source("stdin", data=b"%PDF-1.7 damaged"))
    assert item == Skipped("stdin", "damaged, or not a PDF")


def test_a_file_over_the_limit_says_both_sizes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 2_000_000)
    path = tmp_path / "big.txt"
    path.write_bytes(b"x" * 3_000_000)
    assert read(Source("big.txt", path=path)) == Skipped("big.txt", "3 MB, more than the 2 read")


def test_a_document_of_a_gigantic_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "min.js"
    path.write_bytes(b"a" * 480_000)
    item = read(Source("min.js", path=path))
    assert isinstance(item, Document) and item.num_lines == 1
