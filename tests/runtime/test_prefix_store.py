import errno
import fcntl
import os

import numpy as np
import pytest

from longctx.runtime.prefix_chain import NODE, chain, root_name
from longctx.runtime.prefix_node import DamagedNode, Facts, check_node, read_facts, write_node
from longctx.runtime.prefix_store import NoRoom, PrefixStore

BYTES = 3_001


@pytest.fixture
def store(tmp_path):
    return PrefixStore(tmp_path / "prefixes", 10**9)


def links_of(seed, num_nodes, *, common=0):
    """Returns a chain that shares its first `common` nodes with every other."""
    ids = np.random.default_rng(seed).integers(0, 500, num_nodes * NODE, dtype=np.int32)
    ids[: common * NODE] = 7
    return chain(root_name("model"), ids, tail=False), ids


def content_of(link):
    return np.random.default_rng(link.start).integers(0, 255, BYTES, dtype=np.uint8).tobytes()


def save(store, links, ids, *, stamp=None, label="a test"):
    stamp = stamp or store.stamp()
    for link in links:
        facts = Facts(
            link.name, link.parent, link.start, link.end, BYTES, "tiny", "all", label, 1.5
        )
        content = memoryview(content_of(link))
        store.save(
            facts,
            ids[link.start : link.end],
            [content[:1_000], content[1_000:]],
            stamp=stamp,
            keep={link.name for link in links},
        )


def load(store, link, ids):
    first, second = bytearray(1_000), bytearray(BYTES - 1_000)
    views = [memoryview(first), memoryview(second)]
    if not store.load(link, ids[link.start : link.end], views):
        return None
    return bytes(first + second)


def files(store):
    return {path.name for path in store.directory.iterdir()}


def path_of(store, link):
    return store.directory / f"{link.name}.kv"


def test_what_is_saved_is_loaded(store):
    links, ids = links_of(0, 3)
    assert load(store, links[0], ids) is None
    save(store, links, ids)
    assert [load(store, link, ids) for link in links] == [content_of(link) for link in links]
    assert store.num_stored(links) == 3 * NODE
    assert files(store) == {f"{link.name}.kv" for link in links}


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_found_and_the_node_dropped(store, seed):
    links, ids = links_of(0, 1)
    save(store, links, ids)
    path = path_of(store, links[0])
    content = bytearray(path.read_bytes())
    # the front and the header are short: they get half of the tries
    at = np.random.default_rng(seed).integers(0, 300 if seed % 2 else len(content))
    content[at] ^= 1 << seed % 8
    path.write_bytes(content)
    assert load(store, links[0], ids) is None
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 5, 16, 100, 4_000, -1])
def test_a_torn_file_is_dropped(store, length):
    links, ids = links_of(0, 1)
    save(store, links, ids)
    path = path_of(store, links[0])
    path.write_bytes(path.read_bytes()[:length])
    assert load(store, links[0], ids) is None
    assert not path.exists()


def test_zeros_where_a_power_loss_left_no_bytes_are_found(store):
    links, ids = links_of(0, 1)
    save(store, links, ids)
    path = path_of(store, links[0])
    content = path.read_bytes()
    path.write_bytes(content[:-2_000] + bytes(2_000))
    assert load(store, links[0], ids) is None


def test_a_node_under_another_name_is_not_taken(store):
    links, ids = links_of(0, 2)
    save(store, links, ids)
    path_of(store, links[0]).replace(path_of(store, links[1]))
    assert load(store, links[1], ids) is None


def test_verify_names_and_drops_what_is_not_sound(store):
    links, ids = links_of(0, 3)
    save(store, links, ids)
    assert store.verify() == []
    path = path_of(store, links[1])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedNode, match="checksum"):
        check_node(path)
    (wrong,) = store.verify()
    assert str(path) in wrong
    assert not path.exists()
    # what followed it cannot be used any more
    assert store.sweep() > BYTES
    assert files(store) == {f"{links[0].name}.kv"}


def test_the_oldest_go_first_ends_before_beginnings(store):
    node_bytes = (lambda links, ids: (save(store, links, ids), store.num_bytes())[1])(
        *links_of(9, 1)
    )
    store.remove([links_of(9, 1)[0][0].name])
    old, old_ids = links_of(1, 4, common=1)
    new, new_ids = links_of(2, 3, common=1)
    save(store, old, old_ids)
    store = PrefixStore(store.directory, 6 * node_bytes)
    stamp = store.stamp()
    store.touch(new[:1], stamp)
    save(store, new, new_ids, stamp=stamp)
    # 1 shared, 3 old and 2 new would be one too many
    assert store.num_stored(new) == 3 * NODE
    assert store.num_stored(old) == 3 * NODE
    third, third_ids = links_of(3, 3)
    save(store, third, third_ids)
    assert store.num_stored(third) == 3 * NODE
    assert store.num_stored(old) == NODE
    assert store.num_stored(new) == 2 * NODE


def test_nothing_of_what_is_being_written_goes_to_make_room(store):
    links, ids = links_of(0, 3)
    store = PrefixStore(store.directory, 2 * (BYTES + 8_192))
    with pytest.raises(NoRoom, match="limit"):
        save(store, links, ids)
    assert store.num_stored(links) == 2 * NODE


def test_a_clock_that_was_set_back_does_not_make_the_newest_oldest(store, monkeypatch):
    first, first_ids = links_of(1, 1)
    second, second_ids = links_of(2, 1)
    save(store, first, first_ids)
    monkeypatch.setattr("time.time_ns", lambda: 10**9)
    save(store, second, second_ids)
    assert [prefix.facts.name for prefix in store.prefixes()] == [second[0].name, first[0].name]
    store.touch(first, store.stamp())
    assert [prefix.facts.name for prefix in store.prefixes()] == [first[0].name, second[0].name]


def test_without_a_limit_it_is_a_share_of_the_disk(tmp_path, monkeypatch):
    import shutil

    store = PrefixStore(tmp_path / "not" / "there")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 4_000))
    assert store.limit_bytes() == 1_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10**15))
    assert store.limit_bytes() == 64 * 10**9


def test_prefixes_are_the_ends_of_chains(store):
    one, one_ids = links_of(1, 3, common=2)
    two, two_ids = links_of(2, 4, common=2)
    save(store, one, one_ids, label="one")
    save(store, two, two_ids, label="two")
    found = store.prefixes()
    size = path_of(store, one[0]).stat().st_size
    assert [(item.facts.label, item.facts.end, len(item.names)) for item in found] == [
        ("two", 4 * NODE, 4),
        ("one", 3 * NODE, 3),
    ]
    assert found[1].num_bytes == pytest.approx(3 * size, abs=20)
    assert found[1].own_bytes == pytest.approx(size, abs=20)
    assert found[1].seconds == 4.5


def test_drafts_go_once_their_writer_is_gone(store):
    links, ids = links_of(0, 1)
    save(store, links, ids)
    dead, alive = store.directory / ".draft-a", store.directory / ".draft-b"
    dead.write_bytes(b"1234")
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert store.sweep() == 4
        assert files(store) == {f"{links[0].name}.kv", ".draft-b"}


def test_nodes_that_vanish_meanwhile_are_only_missing(store, monkeypatch):
    """As another process evicts them."""
    links, ids = links_of(0, 4)
    save(store, links, ids)
    real = os.scandir

    class Vanishing:
        def __init__(self, path):
            self.entries = list(real(path))
            for entry in self.entries[::2]:
                os.unlink(entry.path)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "scandir", Vanishing)
    assert store.num_bytes() > 0
    monkeypatch.undo()
    store.touch(links, store.stamp())
    assert [load(store, link, ids) for link in links].count(None) == 2


def test_a_node_that_was_made_of_another_overwrites_none(tmp_path):
    path = tmp_path / "aa.kv"
    for made_of, content in (("bb", b"made"), ("", b"read"), ("bb", b"late")):
        facts = Facts("aa", "cc", 0, 1, 4, "tiny", "all", "a test", 1.5, made_of, len(made_of))
        write_node(path, facts, np.zeros(1, np.int32), [memoryview(content)], 10**18)
        found = read_facts(path)
        assert (found == facts) == (content != b"late")
    assert found.made_of == "" and b"made_of" not in path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["aa.kv"]
    assert path.stat().st_nlink == 1


def test_a_child_is_not_saved_without_its_parent(store):
    links, ids = links_of(0, 2)
    save(store, links[1:], ids)
    assert not store.directory.exists()


def test_a_file_that_is_no_node_is_none(tmp_path):
    path = tmp_path / "x.kv"
    path.write_bytes(b"\0" * 5_000)
    with pytest.raises(DamagedNode, match="no node"):
        read_facts(path)


@pytest.mark.parametrize("most", [1, 7, 100])
def test_short_writes_and_reads_are_gone_on_with(store, monkeypatch, most):
    links, ids = links_of(0, 1)
    write, readv = os.write, os.readv
    monkeypatch.setattr(os, "write", lambda file, view: write(file, view[:most]))
    monkeypatch.setattr(os, "readv", lambda file, views: readv(file, [views[0][:most]]))
    save(store, links, ids)
    assert load(store, links[0], ids) == content_of(links[0])


@pytest.mark.parametrize(("number", "stays"), [(errno.EIO, False), (errno.EMFILE, True)])
def test_only_what_cannot_be_read_ever_again_is_dropped(store, monkeypatch, number, stays):
    links, ids = links_of(0, 1)
    save(store, links, ids)

    def refuse(descriptor, views):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "readv", refuse)
        assert load(store, links[0], ids) is None
        store.prefixes()
    assert store.has(links[0]) == stays
