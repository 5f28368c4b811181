import os

from longctx.ingest.change_order import by_last_change
from longctx.ingest.document import Source


def sources(folder, **changed):
    found = []
    for name, second in changed.items():
        path = folder / name
        path.write_text(name)
        os.utime(path, (second, second))
        found.append(Source(name, path))
    return found


def names(found):
    return [source.name for source in found]


def test_what_changed_last_comes_last_and_the_rest_keeps_its_order(tmp_path):
    found = sources(tmp_path, d=50, a=50, c=900, b=50)
    assert names(by_last_change(found)) == ["d", "a", "b", "c"]
    os.utime(tmp_path / "a", (1000, 1000))
    assert names(by_last_change(found)) == ["d", "b", "c", "a"]
    os.utime(tmp_path / "a", (2000, 2000))
    assert names(by_last_change(found)) == ["d", "b", "c", "a"]


def test_data_and_files_that_are_gone_come_first(tmp_path):
    found = [*sources(tmp_path, a=50), Source("stdin", data=b"x"), Source("b", tmp_path / "gone")]
    assert names(by_last_change(found)) == ["stdin", "b", "a"]
