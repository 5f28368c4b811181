"""Reads the header of a GGUF file, every count and length checked before it is believed.

The layout follows the GGUF specification, versions 2 and 3, little-endian
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.errors import ModelError

Value = int | float | bool | str | list[str] | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class BlockType:
    """How a tensor's elements lie in the file: a run of blocks, each of some elements and bytes."""

    name: str
    elements: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor of the file: its shape (rows first), block type and place in the file in bytes."""

    name: str
    shape: tuple[int, ...]
    type: BlockType
    start: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A checked GGUF file: its metadata, its tensors and its bytes, mapped and not read."""

    path: Path
    metadata: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]
    data: NDArray[np.uint8]


BLOCK_TYPES = {
    0: BlockType("F32", 1, 4),
    1: BlockType("F16", 1, 2),
    2: BlockType("Q4_0", 32, 18),
    3: BlockType("Q4_1", 32, 20),
    6: BlockType("Q5_0", 32, 22),
    7: BlockType("Q5_1", 32, 24),
    8: BlockType("Q8_0", 32, 34),
    12: BlockType("Q4_K", 256, 144),
    13: BlockType("Q5_K", 256, 176),
    14: BlockType("Q6_K", 256, 210),
    30: BlockType("BF16", 1, 2),
}

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MIN_STRING_BYTES = 8
_MIN_PAIR_BYTES = _MIN_STRING_BYTES + 4 + 1
_MIN_TENSOR_BYTES = _MIN_STRING_BYTES + 4 + 8 + 4 + 8
_MAX_DIMS = 4


def read_gguf(path: Path) -> GgufFile:
    """The checked header of the GGUF file at `path`, its bytes mapped.

    Raises:
        ModelError: the file is not GGUF, is cut short, or says something impossible.
    """
    try:
        # an empty file cannot be mapped
        empty = path.stat().st_size == 0
        data = np.empty(0, np.uint8) if empty else np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    cursor = _Cursor(path, data.data)
    if bytes(cursor.take(4, "magic")) != b"GGUF":
        raise cursor.fail("magic", "is not GGUF; the file is no GGUF model")
    version = cursor.scalar("I", "version")
    if version not in (2, 3):
        raise cursor.fail("version", f"is {version}; expected 2 or 3, little-endian")
    num_tensors = cursor.count("tensor count", _MIN_TENSOR_BYTES)
    num_pairs = cursor.count("metadata count", _MIN_PAIR_BYTES)
    metadata: dict[str, Value] = {}
    for index in range(num_pairs):
        key = cursor.string(f"metadata key {index}")
        if key in metadata:
            raise cursor.fail(f"metadata key {key!r}", "appears twice")
        metadata[key] = cursor.value(f"metadata {key!r}")
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.fail("general.alignment", f"is {alignment!r}; expected a power of two")
    tensors = [_tensor(cursor, index) for index in range(num_tensors)]
    data_start = -(-cursor.position // alignment) * alignment
    return GgufFile(path, metadata, _placed(cursor, tensors, data_start, alignment), data)


@dataclass(slots=True)
class _Cursor:
    """A place in the file's bytes that never moves past their end."""

    path: Path
    data: memoryview
    position: int = 0

    def fail(self, field: str, problem: str) -> ModelError:
        return ModelError(f"{self.path}: {field} {problem}", "the file is damaged: get it again")

    def take(self, num_bytes: int, field: str) -> memoryview:
        left = len(self.data) - self.position
        if num_bytes > left:
            raise self.fail(field, f"takes {num_bytes} bytes where {left} are left in the file")
        self.position += num_bytes
        return self.data[self.position - num_bytes : self.position]

    def scalar(self, code: str, field: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code), field))[0])

    def count(self, field: str, min_bytes: int) -> int:
        """A 64-bit count of things of at least `min_bytes` each, which must fit in the file."""
        number, left = self.scalar("Q", field), len(self.data) - self.position
        if number * min_bytes > left:
            raise self.fail(field, f"is {number}, more than the {left} bytes left can hold")
        return number

    def string(self, field: str) -> str:
        num_bytes = self.scalar("Q", f"length of {field}")
        try:
            return str(self.take(num_bytes, field), "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(field, "is not valid UTF-8") from error

    def value(self, field: str) -> Value:
        kind = self.scalar("I", f"type of {field}")
        if kind == _STRING:
            return self.string(field)
        if kind != _ARRAY:
            code = self._code(kind, field)
            number = struct.unpack("<" + code, self.take(struct.calcsize("<" + code), field))[0]
            assert isinstance(number, int | float)
            return number
        kind = self.scalar("I", f"element type of {field}")
        if kind == _STRING:
            return [self.string(field) for _ in range(self.count(field, _MIN_STRING_BYTES))]
        dtype = np.dtype("<" + self._code(kind, field))
        return np.frombuffer(
            self.take(self.count(field, dtype.itemsize) * dtype.itemsize, field), dtype
        )

    def _code(self, kind: int, field: str) -> str:
        if kind not in _SCALARS:
            raise self.fail(field, f"has the unknown value type {kind}")
        return _SCALARS[kind]


def _tensor(cursor: _Cursor, index: int) -> GgufTensor:
    """Tensor `index` of the list; its start is still counted from the start of the data."""
    name = cursor.string(f"name of tensor {index}")
    field = f"tensor {name!r}"
    num_dims = cursor.scalar("I", f"dimension count of {field}")
    if not 1 <= num_dims <= _MAX_DIMS:
        raise cursor.fail(field, f"has {num_dims} dimensions; expected 1 to {_MAX_DIMS}")
    shape = tuple(cursor.scalar("Q", f"shape of {field}") for _ in range(num_dims))[::-1]
    if 0 in shape:
        raise cursor.fail(field, f"has the shape {list(shape)}, which holds nothing")
    kind = cursor.scalar("I", f"type of {field}")
    if kind not in BLOCK_TYPES:
        known = ", ".join(sorted(block.name for block in BLOCK_TYPES.values()))
        raise ModelError(
            f"{cursor.path}: {field} has the type {_type_name(kind)}; known are {known}",
            "take the model in another quantization, such as Q4_K_M or Q8_0",
        )
    block = BLOCK_TYPES[kind]
    if shape[-1] % block.elements:
        raise cursor.fail(field, f"has rows of {shape[-1]}, no multiple of {block.elements}")
    num_bytes = math.prod(shape) // block.elements * block.num_bytes
    return GgufTensor(name, shape, block, cursor.scalar("Q", f"offset of {field}"), num_bytes)


def _placed(
    cursor: _Cursor, tensors: list[GgufTensor], data_start: int, alignment: int
) -> dict[str, GgufTensor]:
    """The tensors by name, starts counted from the start of the file, none over another."""
    placed: dict[str, GgufTensor] = {}
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.start):
        field = f"tensor {tensor.name!r}"
        if tensor.name in placed:
            raise cursor.fail(field, "appears twice")
        if tensor.start % alignment:
            raise cursor.fail(field, f"has the offset {tensor.start}, not aligned to {alignment}")
        if tensor.start < end:
            raise cursor.fail(field, f"starts at {tensor.start}, inside the tensor before it")
        end = tensor.start + tensor.num_bytes
        if data_start + end > len(cursor.data):
            raise cursor.fail(field, f"ends at byte {data_start + end} of {len(cursor.data)}")
        placed[tensor.name] = GgufTensor(
            tensor.name, tensor.shape, tensor.type, data_start + tensor.start, tensor.num_bytes
        )
    return placed


def _type_name(kind: int) -> str:
    """What the `gguf` library calls a tensor type, or its number."""
    from gguf import GGMLQuantizationType

    try:
        return GGMLQuantizationType(kind).name
    except ValueError:
        return str(kind)
