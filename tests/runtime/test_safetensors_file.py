import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open

from longctx.runtime.errors import ModelError
from longctx.runtime.safetensors_file import TensorStream, read_header, write_safetensors


def stream(name, array, *, dtype="F32", num_parts=1):
    return TensorStream(name, dtype, array.shape, lambda: np.array_split(array, num_parts))


def test_written_file_is_what_the_library_reads(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {
        "odd": np.arange(3, dtype=np.float32),
        "matrix": np.arange(64, dtype=np.float32).reshape(16, 4),
        "row": np.arange(32, dtype=np.float32),
        "none": np.empty((0, 4), np.float32),
    }
    write_safetensors(path, [stream(name, array, num_parts=3) for name, array in arrays.items()])
    with safe_open(path, "np") as file:
        assert set(file.keys()) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
    header = read_header(path)
    assert {name: stored.shape for name, stored in header.items()} == {
        name: array.shape for name, array in arrays.items()
    }
    assert header["matrix"].start % 64 == header["row"].start % 64 == 0
    content = path.read_bytes()
    assert content[header["odd"].start : header["odd"].end] == arrays["odd"].tobytes()


def file_of(header, data=b"", *, num_bytes=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if num_bytes is None else num_bytes).to_bytes(8, "little") + text + data


def entry(start, end, *, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


MALFORMED = {
    "empty": (b"", "header length 0"),
    "short": (b"\2\0\0", "header length"),
    "header length": (file_of(b"{}", num_bytes=2**62), f"header length {2**62}"),
    "not JSON": (file_of(b"{nope}"), "not the expected JSON"),
    "not text": (file_of(b'{"\xff": 1}'), "not the expected JSON"),
    "nested deep": (file_of(b"[" * 100_000), "not the expected JSON"),
    "not an object": (file_of([1]), "not a JSON object"),
    "entry": (file_of({"w": 3}), "'w': bad entry"),
    "no shape": (file_of({"w": {"dtype": "F32", "data_offsets": [0, 0]}}), "'w': bad entry"),
    "three offsets": (file_of({"w": entry(0, 8) | {"data_offsets": [0, 4, 8]}}), "'w': bad entry"),
    "dtype": (file_of({"w": entry(0, 8, dtype="Q4")}, bytes(8)), "unknown dtype 'Q4'"),
    "negative shape": (file_of({"w": entry(0, 8, shape=[-2])}, bytes(8)), "not negative"),
    "broken shape": (file_of({"w": entry(0, 8, shape=[2.0])}, bytes(8)), "must be whole"),
    "true as shape": (file_of({"w": entry(0, 4, shape=[True])}, bytes(4)), "must be whole"),
    "huge shape": (file_of({"w": entry(0, 8, shape=[2**62, 2**62])}, bytes(8)), "do not span"),
    "negative offset": (file_of({"w": entry(-8, 0)}, bytes(8)), "not negative"),
    "end before start": (file_of({"w": entry(8, 0)}, bytes(8)), "do not span"),
    "beyond the end": (file_of({"w": entry(0, 8)}, bytes(4)), "end at byte"),
    "left over": (file_of({"w": entry(0, 8)}, bytes(9)), "end at byte"),
    "overlap": (file_of({"v": entry(0, 8), "w": entry(4, 12)}, bytes(12)), "'w' starts at byte"),
    "gap": (file_of({"v": entry(0, 8), "w": entry(12, 20)}, bytes(20)), "'w' starts at byte"),
    "same place": (file_of({"v": entry(0, 8), "w": entry(0, 8)}, bytes(8)), "'w' starts at byte"),
    "key twice": (
        file_of(
            b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
            bytes(16),
        ),
        "'w' appears twice",
    ),
}


@pytest.mark.parametrize("content, expected", MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_is_named(tmp_path, content, expected):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ModelError) as caught:
        read_header(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert peak_bytes < 4_000_000


def test_no_truncation_passes(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, [stream("w", np.arange(9, dtype=np.float32))])
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            read_header(path)
