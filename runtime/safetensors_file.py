"""Checks the header of a safetensors file and writes such files tensor by tensor.

The layout follows https://github.com/huggingface/safetensors#format: eight bytes of header
length, a JSON header, then the tensors without gaps.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longctx.runtime.errors import ModelError

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of one element, for each dtype name of the format."""

ALIGNMENT = 64
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a safetensors file: dtype name, shape and its place in the file in bytes."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorStream:
    """A tensor to be written: what it is, and its elements in order, some at a time."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[NDArray[Any]]]

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def read_header(path: Path) -> Mapping[str, StoredTensor]:
    """The tensors of the safetensors file at `path`, every place checked against its size.

    Raises:
        ModelError: the file is cut short, or its header says something impossible.
    """

    def fail(problem: str) -> ModelError:
        return ModelError(f"{path}: {problem}", "the file is damaged: get it again")

    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            header_bytes = int.from_bytes(file.read(8), "little")
            if file_bytes < 8 or header_bytes > min(file_bytes - 8, _MAX_HEADER_BYTES):
                raise fail(
                    f"header length {header_bytes} does not fit a file of {file_bytes} bytes"
                )
            text = file.read(header_bytes)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise fail(f"header is not the expected JSON: {error}") from error
    if not isinstance(header, dict):
        raise fail("header is not a JSON object")
    data_start = 8 + header_bytes
    tensors: dict[str, StoredTensor] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            try:
                tensors[name] = _stored(entry, data_start)
            except (ValueError, KeyError, TypeError) as error:
                raise fail(f"tensor {name!r}: bad entry: {error}") from error
    end = data_start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != end:
            raise fail(f"tensor {name!r} starts at byte {tensor.start}, expected {end}")
        end = tensor.end
    if end != file_bytes:
        raise fail(f"tensors end at byte {end} of {file_bytes}")
    return tensors


def write_safetensors(path: Path, streams: Sequence[TensorStream]) -> None:
    """Write the streams to `path`, one part in memory at a time, and sync them to the disk.

    Tensors whose size keeps the next one on a 64-byte boundary come first.
    """
    ordered = sorted(streams, key=lambda stream: -math.gcd(stream.num_bytes, ALIGNMENT))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for stream in ordered:
        start, end = end, end + stream.num_bytes
        header[stream.name] = {
            "dtype": stream.dtype,
            "shape": list(stream.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for stream in ordered:
            before = file.tell()
            for part in stream.parts():
                file.write(np.ascontiguousarray(part).data)
            assert file.tell() - before == stream.num_bytes, stream.name
        file.flush()
        os.fsync(file.fileno())


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return result


def _stored(entry: dict[str, Any], data_start: int) -> StoredTensor:
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in ITEM_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError(f"shape {shape} and offsets {[start, end]} must be whole and not negative")
    num_bytes = math.prod(shape) * ITEM_BYTES[dtype]
    if end - start != num_bytes:
        raise ValueError(
            f"offsets {[start, end]} do not span {num_bytes} bytes, the size of {shape}"
        )
    return StoredTensor(dtype, tuple(shape), data_start + start, data_start + end)
