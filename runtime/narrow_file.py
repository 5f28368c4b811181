"""Narrow weights as a file: written whole or not at all, and mapped in milliseconds afterwards.

Layout: the panels of each matrix, each matrix on pages of its own; then JSON (format, what the
weights were made of, the place of each matrix), its length and 8 bytes of magic. As with the
weights themselves, the bytes of the panels are not checked when they are mapped.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from longctx.kernels.narrow import Narrow, narrow_bytes, panel_bytes

# Raise it when the layout of `Narrow` changes, how its codes are found, or how many bits they get.
_FORMAT = 2
_MAGIC = b"LCTXNW\0\1"
_BACK = struct.Struct("<Q8s")
_PAGE = 4_096


def save(path: Path, origin: str, matrices: Iterable[tuple[str, Narrow]]) -> bool:
    """Returns whether the file is there now; a full disk or a folder that takes none is no error.

    `origin` names what the weights were made of. The matrices may be made while they are written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    places: dict[str, tuple[int, int, int, int]] = {}
    try:
        with partial.open("wb") as file:
            for name, matrix in matrices:
                places[name] = matrix.bits, matrix.num_rows, matrix.width, file.tell()
                file.write(matrix.data.tobytes())
                file.write(bytes(-file.tell() % _PAGE))
            facts = {"format": _FORMAT, "origin": origin, "size": file.tell(), "matrices": places}
            header = json.dumps(facts).encode()
            file.write(header + _BACK.pack(len(header), _MAGIC))
        partial.replace(path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            partial.unlink()
    return True


def load(path: Path, origin: str) -> Mapping[str, Narrow] | None:
    """Returns what `save` wrote for this origin, mapped; None if it did not, or it is damaged."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        back = len(mapped) - _BACK.size
        length, magic = _BACK.unpack(mapped[max(0, back) :])
        facts = json.loads(mapped[max(0, back - length) : back])
        found = facts["format"], facts["origin"], facts["size"], magic
        if found != (_FORMAT, origin, back - length, _MAGIC):
            return None
        matrices = {}
        for name, (bits, num_rows, width, start) in facts["matrices"].items():
            size = narrow_bytes((num_rows, width), bits)
            data = np.frombuffer(mapped, np.uint8, size, start)
            matrices[name] = Narrow(
                bits, num_rows, width, data.reshape(-1, panel_bytes(width, bits))
            )
        return matrices
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None
