import os

import pytest

from longctx.cli.failure import UsageFault
from longctx.cli.output_file import check_writable, write_whole


def test_a_file_is_replaced_at_once_and_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new\r\n\udce9")
    assert target.read_bytes() == b"new\r\n\\udce9"
    assert link.is_symlink()
    assert len(list(tmp_path.glob("*target*"))) == 1


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(*paths):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.glob("*a.txt*")] == ["a.txt"]


def test_what_cannot_be_written_is_known_before(tmp_path):
    check_writable(tmp_path / "a.txt")
    for path in (tmp_path, tmp_path / "no" / "a.txt"):
        with pytest.raises(UsageFault):
            check_writable(path)
