import io
import random
import zipfile

import pytest
from office_files import zipped

from longctx.ingest import zipped as zip_files
from longctx.ingest.zipped import ZipParts, ZipRefused


def test_parts_are_read_by_name_whatever_the_case_and_the_slash() -> None:
    parts = ZipParts(zipped({"Word\\Document.xml": b"x", "a.txt": b"yy"}))
    assert "word/document.xml" in parts and "b" not in parts
    assert parts.read("/word/document.xml") == b"x"
    assert len(parts.names) == 2
    with pytest.raises(KeyError):
        parts.read("b")


def test_a_part_over_the_limit_is_refused_by_what_it_says_it_holds() -> None:
    parts = ZipParts(zipped({"bomb": bytes(2_000_000)}))
    with pytest.raises(ZipRefused, match="bomb: 2 MB, more than the 1 that may still be read"):
        parts.read("bomb", 1_000_000)


def test_a_part_over_the_limit_is_refused_by_what_it_holds() -> None:
    data = zipped({"bomb": bytes(2_000_000)})
    size = (2_000_000).to_bytes(4, "little")
    assert data.count(size) == 2
    parts = ZipParts(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(ZipRefused):
        parts.read("bomb", 1_000_000)


def test_all_parts_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_files, "MAX_TOTAL", 2_500)
    parts = ZipParts(zipped({name: bytes(1_000) for name in "abc"}))
    assert parts.read("a") == parts.read("b") == bytes(1_000)
    with pytest.raises(ZipRefused):
        parts.read("c")


def test_a_hundred_thousand_names_are_refused_before_they_are_listed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(40_000):
            archive.writestr(f"part-{number:06d}", b"")
    data = buffer.getvalue()
    with pytest.raises(ZipRefused, match="40,000 entries, more than the 20,000 read"):
        ZipParts(data)


def test_other_ways_of_packing_and_encryption_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"x" * 100)
    with pytest.raises(ZipRefused, match="packed in a way"):
        ZipParts(buffer.getvalue()).read("a")
    data = bytearray(zipped({"a": b"x"}))
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + offset] |= 1
    with pytest.raises(ZipRefused, match="password"):
        ZipParts(bytes(data)).read("a")


def test_damage_is_always_told_as_damage() -> None:
    chance = random.Random(5)
    data = zipped({"a": bytes(chance.choices(range(256), k=500)), "b": b"hello " * 50})
    for _ in range(400):
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] = chance.randrange(256)
        try:
            parts = ZipParts(bytes(damaged[: chance.choice((len(data), chance.randrange(999)))]))
            assert all(len(parts.read(name)) < 10_000 for name in parts.names)
        except ZipRefused as refused:
            assert str(refused)
