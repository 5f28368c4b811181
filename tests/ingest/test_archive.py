import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest

from longctx.ingest import archive
from longctx.ingest.document import Skipped, Source
from longctx.ingest.name_filter import NameFilter
from longctx.ingest.read import read_all
from longctx.ingest.walk import walk
from longctx.ingest.zipped import MAX_ENTRIES


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return stream.getvalue()


def tarred(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        for info in others:
            packed.addfile(info)
    return stream.getvalue()


def contents(name: str, data: bytes) -> tuple[list[tuple[str, str]], list[Skipped]]:
    documents, skipped = read_all([Source(name, data=data)])
    return [(item.name, item.text) for item in documents], skipped


def test_only_the_wanted_files_of_an_archive_are_read(tmp_path: Path) -> None:
    inner = zipped({"deep.py": b"y = 2\n", "deep.txt": b"text\n"})
    (tmp_path / "x.zip").write_bytes(zipped(FILES | {"in.zip": inner}))
    (tmp_path / "old.zip").write_bytes(zipped({"a.py": b"old\n"}))
    (tmp_path / "note.txt").write_bytes(b"text\n")
    (tmp_path / "mail.eml").write_bytes(b"Subject: x\n\nbody\n")
    (tmp_path / "bad.zip").write_bytes(b"PK")

    def read_wanted(
        include: tuple[str, ...], exclude: tuple[str, ...]
    ) -> tuple[list[str], list[str]]:
        walked = walk([str(tmp_path)], include=include, exclude=exclude)
        documents, skipped = read_all(walked.sources, wanted=NameFilter(include, exclude))
        return [item.name for item in documents], [item.name for item in skipped]

    assert read_wanted(("*.py",), ("old.zip",)) == (
        ["x.zip/b.py", "x.zip/in.zip/deep.py"],
        ["bad.zip"],
    )
    assert read_wanted(("x.zip",), ("*.py", "*.png")) == (
        ["x.zip/a/c.txt", "x.zip/in.zip/deep.txt"],
        ["bad.zip"],
    )
    assert read_wanted((), ("*.zip",)) == (["mail.eml", "note.txt"], [])


FILES = {"b.py": b"x = 1\n", "a/c.txt": b"text\n", "a/": b"", "pic.png": b"\x89PNG\0\1"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zip", zipped(FILES)),
        ("x.tar", tarred(FILES)),
        ("x.tar.gz", gzip.compress(tarred(FILES))),
        ("x.tbz2", bz2.compress(tarred(FILES))),
        ("x.txz", lzma.compress(tarred(FILES))),
        ("stdin", zipped(FILES)),
        ("stdin", tarred(FILES)),
        ("stdin", gzip.compress(tarred(FILES))),
    ],
)
def test_the_files_of_an_archive_are_read_by_name_in_order(name: str, data: bytes) -> None:
    found, skipped = contents(name, data)
    assert found == [(f"{name}/a/c.txt", "text\n"), (f"{name}/b.py", "x = 1\n")]
    assert skipped == [Skipped(f"{name}/pic.png", "binary")]


def test_a_compressed_file_is_read_by_the_reader_of_its_inner_name() -> None:
    documents, _ = read_all([Source("a.md.gz", data=gzip.compress(b"# T\n"))])
    assert [(item.name, item.kind, item.text) for item in documents] == [
        ("a.md.gz/a.md", "markdown", "# T\n")
    ]


def test_streams_one_after_the_other_are_one_file() -> None:
    data = gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0\0"
    assert contents("a.txt.gz", data)[0] == [("a.txt.gz/a.txt", "one\ntwo\n")]


def test_archives_inside_archives_are_opened_down_to_a_depth() -> None:
    data = zipped({"deep.txt": b"deep\n"})
    for level in range(4):
        data = zipped({f"{level}.zip": data, f"{level}.txt": b"text\n"})
    found, skipped = contents("a.zip", data)
    assert [name for name, _ in found] == [
        "a.zip/3.txt",
        "a.zip/3.zip/2.txt",
        "a.zip/3.zip/2.zip/1.txt",
    ]
    assert skipped == [Skipped("a.zip/3.zip/2.zip/1.zip", "packed inside 3 others")]


def test_names_that_lead_out_links_and_devices_are_no_files() -> None:
    link, device = tarfile.TarInfo("link"), tarfile.TarInfo("device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    found, skipped = contents(
        "a.tar", tarred({"../../etc/passwd": b"x\n", "/abs": b"y\n", "./b": b"z\n"}, link, device)
    )
    assert found == [("a.tar/b", "z\n"), ("a.tar/abs", "y\n")]
    assert skipped == [
        Skipped("a.tar/../../etc/passwd", "its name leads out of the archive"),
        Skipped("a.tar/device", "not a regular file"),
        Skipped("a.tar/link", "a link"),
    ]
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr(info, "/etc/passwd")
    assert contents("a.zip", stream.getvalue()) == ([], [Skipped("a.zip/link", "a symbolic link")])


def test_names_are_shown_in_characters_that_do_no_harm() -> None:
    found, _ = contents("a.zip", zipped({"a\x1b[31m.txt": b"x\n"}))
    assert found == [("a.zip/a\\x1b[31m.txt", "x\n")]


def test_gits_own_files_stay_out() -> None:
    assert contents("a.zip", zipped({"r/.git/config": b"x\n", "r/a.txt": b"y\n"})) == (
        [("a.zip/r/a.txt", "y\n")],
        [],
    )


def test_names_in_utf_8_are_read_where_the_archive_does_not_say_so() -> None:
    data = zipped({"XXXXXX.txt": b"x\n"}).replace(b"XXXXXX", "文字".encode())
    assert contents("a.zip", data)[0] == [("a.zip/文字.txt", "x\n")]


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_no_more_is_unpacked_than_allowed(pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "Room", partial(archive.Room, num_bytes=1_000_000, num_files=2))
    data = pack({"a": b"x\n", "b": b"\n" * 5_000_000, "c": b"y\n", "d": b"z\n"})
    found, skipped = contents("a.zip" if pack is zipped else "a.tar", data)
    assert [text for _, text in found] == ["x\n", "y\n"]
    assert [item.reason for item in skipped] == [
        "5 MB, more than the 1 that may still be read",
        "the files after the first 10,000 are left out",
    ]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_bomb_is_not_unpacked(compress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "Room", partial(archive.Room, num_bytes=1_000_000))
    found, skipped = contents("a.gz", compress(bytes(20_000_000)))
    assert found == [] and skipped[0].reason.startswith("more than the ")


def test_a_size_that_lies_is_not_believed() -> None:
    data = bytearray(zipped({"a.txt": b"x" * 100_000}))
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    found, skipped = contents("a.zip", bytes(data))
    assert found == [] and skipped == [Skipped("a.zip/a.txt", "damaged")]


def test_an_archive_of_countless_entries_is_refused_before_they_are_listed() -> None:
    data = zipped({"a": b"x"}) + b"PK\x01\x02" * MAX_ENTRIES
    assert contents("a.zip", data)[1] == [
        Skipped("a.zip", "100,001 entries, more than the 100,000 read")
    ]


def test_the_parts_of_a_damaged_archive_that_can_be_read_are_read() -> None:
    data = tarred({"a.txt": b"x\n", "b.txt": b"y" * 2000})
    found, skipped = contents("a.tar", data[:1700])
    assert found == [("a.tar/a.txt", "x\n")]
    assert [item.reason for item in skipped] == ["damaged", "damaged: what comes after is left out"]
    assert contents("a.zip", b"PK\3\4" + bytes(50))[1] == [
        Skipped("a.zip", "damaged, or not a zip file")
    ]
    assert contents("a.tar", b"no archive" * 100)[1] == [Skipped("a.tar", "damaged, or no archive")]
    assert contents("a.gz", gzip.compress(b"text" * 1000)[:-9])[1] == [Skipped("a.gz", "cut short")]
    assert contents("a.gz", b"\x1f\x8bnonsense")[1] == [Skipped("a.gz", "damaged")]


def test_what_is_encrypted_is_named() -> None:
    data = bytearray(zipped({"a.txt": b"secret"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    assert contents("a.zip", bytes(data))[1] == [
        Skipped("a.zip/a.txt", "encrypted: it needs a password")
    ]
