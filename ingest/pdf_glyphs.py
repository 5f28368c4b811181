"""Where the characters of a PDF page stand: pdfium is asked for many in one go."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]
"""Places of characters in the text of a page: [N]."""
Floats = npt.NDArray[np.float32]

_RESULTS: dict[str, Any] = {
    "FPDFText_GetLooseCharBox": ctypes.c_int,
    "FPDFText_GetCharAngle": ctypes.c_float,
    "FPDFText_GetTextObject": ctypes.c_void_p,
    "FPDFTextObj_GetTextRenderMode": ctypes.c_int,
    "FPDFText_GetCharIndexFromTextIndex": ctypes.c_int,
}
_BYTES_OF_BOX = 16


@cache
def _function(name: str) -> Callable[..., Any]:
    """A function of pdfium that takes numbers and pointers as they are.

    Without declared types a call takes a third of the time of one that checks and converts them.
    """
    import pypdfium2.raw as pdfium

    address = ctypes.cast(getattr(pdfium, name), ctypes.c_void_p).value
    assert address is not None
    function: Callable[..., Any] = ctypes.PYFUNCTYPE(_RESULTS[name])(address)
    return function


class Boxes:
    """Room for the boxes of characters, which pdfium fills: left, top, right, bottom."""

    def __init__(self) -> None:
        """Begin without any."""
        self._array = np.zeros((0, 4), np.float32)
        self._targets: list[ctypes.c_void_p] = []

    def room(self, number: int) -> tuple[Floats, list[ctypes.c_void_p]]:
        """Empty boxes, [N, 4], valid until the next call; and pointers to each."""
        if number > len(self._array):
            self._array = np.zeros((2 * number, 4), np.float32)
            begin = self._array.ctypes.data
            addresses = range(begin, begin + self._array.nbytes, _BYTES_OF_BOX)
            self._targets = list(map(ctypes.c_void_p, addresses))
        self._array[:number] = 0
        return self._array[:number], self._targets


class Glyphs:
    """The characters of a page by their places in its text, which has `length` of them."""

    def __init__(self, textpage: Any, length: int) -> None:
        """Ask of a text page of pypdfium2, as long as it is open."""
        import pypdfium2.raw as pdfium

        self._handle = ctypes.cast(textpage.raw, ctypes.c_void_p)
        # Characters without a Unicode value are counted by pdfium, and are not in the text.
        self._exact = pdfium.FPDFText_CountChars(textpage.raw) == length

    def _indices(self, places: Places) -> list[int]:
        found: list[int] = places.tolist()
        if self._exact:
            return found
        convert = _function("FPDFText_GetCharIndexFromTextIndex")
        return list(map(convert, repeat(self._handle), found))

    def fill(self, places: Places, targets: list[ctypes.c_void_p]) -> None:
        """Write the boxes of characters, as high as their fonts, in points, to where they go."""
        get = _function("FPDFText_GetLooseCharBox")
        deque(map(get, repeat(self._handle), self._indices(places), targets), maxlen=0)

    def angles(self, places: Places) -> list[float]:
        """By how much characters are turned, in radians."""
        get = _function("FPDFText_GetCharAngle")
        return list(map(get, repeat(self._handle), self._indices(places)))

    def render_modes(self, places: Places) -> set[int]:
        """How characters are painted: the numbers that PDF gives to the modes."""
        get = _function("FPDFText_GetTextObject")
        objects = set(map(get, repeat(self._handle), self._indices(places)))
        return set(map(_function("FPDFTextObj_GetTextRenderMode"), map(ctypes.c_void_p, objects)))
