"""The weights of a model directory as tensors mapped from its safetensors files."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from longctx.runtime.errors import ModelError
from longctx.runtime.safetensors_file import StoredTensor, read_header

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Weights(Mapping[str, Tensor]):
    """Tensors by name. Each is a view of the mapped file: nothing is read before it is used."""

    def __init__(self, places: Mapping[str, tuple[mmap.mmap, StoredTensor]]) -> None:
        """Keep which file and where in it each tensor is."""
        self._places = MappingProxyType(dict(places))

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name, a view that must not be written to."""
        mapped, stored = self._places[name]
        dtype = _DTYPES[stored.dtype]
        count = (stored.end - stored.start) // dtype.itemsize
        if not count:
            return torch.empty(stored.shape, dtype=dtype)
        if stored.start % dtype.itemsize:
            # some writers do not pad their header; a tensor's memory must be aligned
            copied = bytearray(mapped[stored.start : stored.end])
            return torch.frombuffer(copied, dtype=dtype).view(stored.shape)
        flat = torch.frombuffer(mapped, dtype=dtype, count=count, offset=stored.start)
        return flat.view(stored.shape)

    def release(self, name: str) -> None:
        """Give the memory of a tensor back, which is read again from the file when it is used."""
        mapped, stored = self._places[name]
        first, last = -(stored.start // -mmap.PAGESIZE), stored.end // mmap.PAGESIZE
        if first < last and hasattr(mmap, "MADV_DONTNEED"):
            size = (last - first) * mmap.PAGESIZE
            mapped.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, size)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._places)

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._places)


def open_weights(directory: Path) -> Weights:
    """The weights in `directory`, in one file or in those that its index names, mapped.

    Raises:
        ModelError: a file is missing, malformed, or not the one that the index speaks of.
    """
    places: dict[str, tuple[mmap.mmap, StoredTensor]] = {}
    for path in _files(directory):
        header = read_header(path)
        twice = sorted(header.keys() & places.keys())
        if twice:
            raise ModelError(f"{path}: tensor {twice[0]!r} is in another file too")
        mapped = _mapped(path)
        for name, stored in header.items():
            places[name] = (mapped, stored)
    return Weights(places)


def _files(directory: Path) -> list[Path]:
    """The safetensors files of the directory: those that its index names, or all there are."""
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        paths = sorted(directory.glob("*.safetensors"))
        if not paths:
            raise ModelError(f"{directory}: no *.safetensors")
        return paths
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index}: not an index of safetensors files: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"{index}: {name!r} is no file of this directory")
    return [directory / name for name in sorted(names)]


def _mapped(path: Path) -> mmap.mmap:
    """The file's bytes, copied on write: torch warns about memory that it could not write to."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
