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

_TYPES: dict[str, Any] = {"i": ctypes.c_int, "f": ctypes.c_float, "p": ctypes.c_void_p}
# Results and arguments: whole numbers, floats, pointers.
_SIGNATURES = {
    "FPDFText_GetLooseCharBox": "ipip",
    "FPDFText_GetCharAngle": "fpi",
    "FPDFText_GetTextObject": "ppi",
    "FPDFTextObj_GetTextRenderMode": "ip",
    "FPDFText_GetCharIndexFromTextIndex": "ipi",
}
_BYTES_OF_BOX = 16


@cache
def _function(name: str) -> Callable[..., Any]:
    """A function of pdfium that takes plain numbers: half the time of one that checks types."""
    import pypdfium2.raw as pdfium

    result, *arguments = (_TYPES[letter] for letter in _SIGNATURES[name])
    address = ctypes.cast(getattr(pdfium, name), ctypes.c_void_p).value
    assert address is not None
    function: Callable[..., Any] = ctypes.PYFUNCTYPE(result, *arguments)(address)
    return function


class Glyphs:
    """The characters of a page by their places in its text, which has `length` of them."""

    def __init__(self, textpage: Any, length: int) -> None:
        """Ask of a text page of pypdfium2, as long as it is open."""
        import pypdfium2.raw as pdfium

        self._handle = ctypes.cast(textpage.raw, ctypes.c_void_p).value
        # Characters without a Unicode value are counted by pdfium, and are not in the text.
        self._exact = pdfium.FPDFText_CountChars(textpage.raw) == length

    def _indices(self, places: Places) -> list[int]:
        found: list[int] = places.tolist()
        if self._exact:
            return found
        convert = _function("FPDFText_GetCharIndexFromTextIndex")
        return list(map(convert, repeat(self._handle), found))

    def boxes(self, places: Places) -> tuple[Floats, Floats, Floats, Floats]:
        """Left, bottom, right and top of characters, as high as their fonts, in points: each [N].

        y goes up.
        """
        found = np.zeros((len(places), 4), np.float32)
        begin = found.ctypes.data
        targets = range(begin, begin + found.nbytes, _BYTES_OF_BOX)
        get = _function("FPDFText_GetLooseCharBox")
        deque(map(get, repeat(self._handle), self._indices(places), targets), maxlen=0)
        left, top, right, bottom = found.T
        return left, bottom, right, top

    def angles(self, places: Places) -> list[float]:
        """By how much characters are turned, in radians."""
        get = _function("FPDFText_GetCharAngle")
        return list(map(get, repeat(self._handle), self._indices(places)))

    def render_modes(self, places: Places) -> set[int]:
        """How characters are painted: the numbers that PDF gives to the modes."""
        objects = map(
            _function("FPDFText_GetTextObject"), repeat(self._handle), self._indices(places)
        )
        return set(map(_function("FPDFTextObj_GetTextRenderMode"), objects))
