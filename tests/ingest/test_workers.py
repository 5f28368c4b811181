"""PDFs read in processes of their own: the same Documents, in order, whatever crashes."""

import os
from functools import partial

import pytest
from crashing import crash_or_tell

from longctx.ingest import workers
from longctx.ingest.document import Source
from longctx.ingest.read import read_all
from longctx.ingest.workers import read_ahead


@pytest.fixture
def pdfs(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "LEAST_BYTES", 1)
    monkeypatch.setattr(workers, "_num_cores", lambda: 2)
    sources = []
    for name in ("a.pdf", "b.pdf", "notes.txt", "c.pdf"):
        (tmp_path / name).write_bytes(b"text of " + name.encode())
        sources.append(Source(name, tmp_path / name))
    return sources


def test_documents_are_those_of_one_process_in_order(pdfs, monkeypatch):
    found = read_all(pdfs)
    monkeypatch.setattr(workers, "_num_cores", lambda: 1)
    assert found == read_all(pdfs)
    names = [item.name for item in (*found[0], *found[1])]
    assert sorted(names) == ["a.pdf", "b.pdf", "c.pdf", "notes.txt"]


def test_pdfs_alone_are_read_elsewhere(pdfs):
    with read_ahead(pdfs, partial(crash_or_tell, bad=None)) as ahead:
        assert list(ahead) == [0, 1, 3]
        told = [item for get in ahead.values() for item in get()]
    assert [item.name for item in told] == ["a.pdf", "b.pdf", "c.pdf"]
    assert all(item.reason.startswith("read in ") for item in told)
    assert f"read in {os.getpid()}" not in [item.reason for item in told]


def test_what_crashes_its_reader_is_named_and_the_others_are_read(pdfs):
    with read_ahead(pdfs, partial(crash_or_tell, bad="b.pdf")) as ahead:
        told = {item.name: item.reason for get in ahead.values() for item in get()}
    assert told.pop("b.pdf") == "crashes its reader"
    assert all(reason.startswith("read in ") for reason in told.values()) and len(told) == 2


def test_small_ones_are_read_here(pdfs, monkeypatch):
    monkeypatch.setattr(workers, "LEAST_BYTES", 10**6)
    with read_ahead(pdfs, partial(crash_or_tell, bad=None)) as ahead:
        assert not ahead
