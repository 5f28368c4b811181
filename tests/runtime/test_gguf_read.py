import math
import random
import struct
import tracemalloc

import numpy as np
import pytest

from longctx.runtime.errors import ModelError
from longctx.runtime.gguf_read import read_gguf

F32, Q8_0, IQ2_XXS = 0, 8, 16


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def pair(key, kind, payload):
    return text(key) + struct.pack("<I", kind) + payload


def tensor(name, dims, kind=F32, offset=0):
    return (
        text(name)
        + struct.pack("<I", len(dims))
        + b"".join(struct.pack("<Q", dim) for dim in dims)
        + struct.pack("<IQ", kind, offset)
    )


def gguf(*, pairs=(), tensors=(), data=b"", version=3, num_pairs=None, num_tensors=None):
    counts = (
        len(tensors) if num_tensors is None else num_tensors,
        len(pairs) if num_pairs is None else num_pairs,
    )
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join((*pairs, *tensors))
    return header + bytes(-len(header) % 32) + data


SOUND = gguf(
    pairs=[
        pair("a.text", 8, text("héllo")),
        pair("a.number", 4, struct.pack("<I", 7)),
        pair("a.real", 6, struct.pack("<f", 0.5)),
        pair("a.flag", 7, b"\1"),
        pair("a.texts", 9, struct.pack("<IQ", 8, 2) + text("x") + text("")),
        pair("a.numbers", 9, struct.pack("<IQ", 5, 3) + struct.pack("<3i", 1, -2, 3)),
    ],
    tensors=[tensor("matrix", [4, 2]), tensor("blocks", [32], Q8_0, 32)],
    data=np.arange(8, dtype="<f4").tobytes() + bytes(34),
)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        return path

    return write


def test_header_is_read(write):
    file = read_gguf(write(SOUND))
    numbers = file.metadata.pop("a.numbers")
    assert numbers.tolist() == [1, -2, 3]
    assert file.metadata == {
        "a.text": "héllo",
        "a.number": 7,
        "a.real": 0.5,
        "a.flag": True,
        "a.texts": ["x", ""],
    }
    matrix, blocks = file.tensors["matrix"], file.tensors["blocks"]
    assert (matrix.shape, matrix.type.name) == ((2, 4), "F32")
    found = file.data[matrix.start : matrix.start + matrix.num_bytes].view("<f4")
    assert found.tolist() == list(range(8))
    assert (blocks.type.name, blocks.num_bytes, blocks.start) == ("Q8_0", 34, matrix.start + 32)


def test_version_2_is_read(write):
    assert read_gguf(write(SOUND.replace(b"GGUF\3", b"GGUF\2", 1))).metadata["a.number"] == 7


def test_own_alignment_is_used(write):
    content = gguf(
        pairs=[pair("general.alignment", 4, struct.pack("<I", 8))],
        tensors=[tensor("a", [2]), tensor("b", [1], F32, 8)],
        data=bytes(12),
    )
    assert read_gguf(write(content)).tensors["b"].num_bytes == 4


HUGE = 2**60
MALFORMED = {
    "empty": (b"", "magic"),
    "short": (b"GGU", "magic"),
    "magic": (b"GGML" + SOUND[4:], "magic"),
    "version 1": (gguf(version=1), "version is 1"),
    "big-endian": (gguf(version=3 << 24), "version"),
    "pair count": (gguf(num_pairs=HUGE), f"metadata count is {HUGE}"),
    "tensor count": (gguf(num_tensors=HUGE), f"tensor count is {HUGE}"),
    "key length": (gguf(pairs=[struct.pack("<QI", 2**64 - 1, 4) + bytes(8)]), "metadata key 0"),
    "key not text": (gguf(pairs=[struct.pack("<Q", 2) + b"\xff\xfe" + bytes(9)]), "UTF-8"),
    "key twice": (gguf(pairs=[pair("k", 7, b"\1"), pair("k", 7, b"\1")]), "'k' appears twice"),
    "value type": (gguf(pairs=[pair("k", 99, bytes(8))]), "unknown value type 99"),
    "text length": (gguf(pairs=[pair("k", 8, struct.pack("<Q", HUGE))]), "'k'"),
    "array length": (gguf(pairs=[pair("k", 9, struct.pack("<IQ", 4, HUGE))]), f"is {HUGE}"),
    "array of arrays": (gguf(pairs=[pair("k", 9, struct.pack("<IQ", 9, 1) + bytes(16))]), "type 9"),
    "array of texts": (gguf(pairs=[pair("k", 9, struct.pack("<IQ", 8, HUGE))]), f"is {HUGE}"),
    "alignment": (
        gguf(pairs=[pair("general.alignment", 4, struct.pack("<I", 24))]),
        "general.alignment is 24",
    ),
    "alignment 0": (
        gguf(pairs=[pair("general.alignment", 4, struct.pack("<I", 0))]),
        "general.alignment is 0",
    ),
    "9 dimensions": (gguf(tensors=[tensor("w", [1] * 9)], data=bytes(4)), "'w' has 9 dimensions"),
    "no dimension": (gguf(tensors=[tensor("w", [])], data=bytes(4)), "'w' has 0 dimensions"),
    "dimension 0": (gguf(tensors=[tensor("w", [4, 0])], data=bytes(4)), "holds nothing"),
    "dimensions overflow": (
        gguf(tensors=[tensor("w", [2**62, 2**62])], data=bytes(64)),
        "'w' ends",
    ),
    "unknown type": (gguf(tensors=[tensor("w", [32], 77)], data=bytes(99)), "'w' has the type 77"),
    "other type": (gguf(tensors=[tensor("w", [256], IQ2_XXS)], data=bytes(99)), "IQ2_XXS"),
    "half a block": (gguf(tensors=[tensor("w", [48], Q8_0)], data=bytes(99)), "no multiple of 32"),
    "offset beyond": (gguf(tensors=[tensor("w", [1], F32, HUGE)], data=bytes(4)), "'w' ends at"),
    "offset unaligned": (gguf(tensors=[tensor("w", [1], F32, 4)], data=bytes(64)), "not aligned"),
    "data missing": (gguf(tensors=[tensor("w", [9])], data=bytes(32)), "'w' ends at"),
    "name twice": (
        gguf(tensors=[tensor("w", [1]), tensor("w", [1], F32, 32)], data=bytes(64)),
        "'w' appears twice",
    ),
    "overlap": (
        gguf(tensors=[tensor("v", [16]), tensor("w", [1], F32, 32)], data=bytes(64)),
        "'w' starts at 32, inside",
    ),
}


@pytest.mark.parametrize("content, expected", MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_is_named(write, content, expected):
    path = write(content)
    tracemalloc.start()
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    # the interpreter's own objects, and nothing that a count in the file asks for
    assert peak_bytes < 4_000_000


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.gguf: cannot be read: No such file"):
        read_gguf(tmp_path / "absent.gguf")


def test_no_truncation_passes(write):
    needed = len(SOUND)
    for length in range(needed):
        with pytest.raises(ModelError):
            read_gguf(write(SOUND[:length]))


def test_damaged_bytes_are_refused_or_read(write):
    chance = random.Random(7)
    outcomes = set()
    for _ in range(500):
        content = bytearray(SOUND)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        try:
            file = read_gguf(write(bytes(content)))
        except ModelError:
            outcomes.add("refused")
            continue
        outcomes.add("read")
        for found in file.tensors.values():
            assert found.start + found.num_bytes <= len(content)
            count = found.num_bytes // found.type.num_bytes * found.type.elements
            assert math.prod(found.shape) == count
    assert outcomes == {"refused", "read"}
