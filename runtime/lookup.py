"""Prompt lookup: what an answer goes on with, guessed from where its last words stood before.

A quoting answer repeats its prompt. Tokens guessed are read together with the one before them and
kept as far as the model says the same, so that an answer does not change but comes sooner.
Saxena 2023, "Prompt Lookup Decoding"; Leviathan et al. 2023, "Fast Inference from Transformers via
Speculative Decoding", section 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Fewer tokens in common say too little: a guess costs about as much as a token and a half.
MATCHED = 3


def guessed(read: NDArray[np.int64], token: int, count: int) -> list[int]:
    """Returns up to `count` tokens that followed when the last ones of `read` and `token` stood.

    The latest of the places with the longest match, up to twice MATCHED, is taken.
    """
    last = np.append(read[1 - 2 * MATCHED :], token)
    # a place is where a token equal to `token` stood; it must have a successor
    places = np.flatnonzero(read[MATCHED - 1 : -1] == token) + MATCHED - 1
    best: list[int] = []
    for length in range(2, len(last) + 1):
        places = places[places >= length - 1]
        places = places[read[places - length + 1] == last[-length]]
        if not places.size:
            break
        if length >= MATCHED:
            start = int(places[-1]) + 1
            best = np.append(read[start : start + count], token)[:count].tolist()
    return best
