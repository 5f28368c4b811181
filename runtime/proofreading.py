"""Proofreading: where a model would have written a few tokens otherwise, and reads on easier if so.

Code that a model finds unlikely is often wrong, but more often only new (Ray et al., On the
"Naturalness" of Buggy Code, 2016). What tells them apart here is the text behind the place: a name
that is right is used again, and what stands there would be unlikelier after the model's own words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longctx.runtime.errors import ModelError
from longctx.runtime.reader import Likelihoods, Reader

# The model's own words must meet the text again within so many tokens, and may stand for so many.
MOST_WRITTEN = 10
MOST_REPLACED = 8
# The tokens behind the place whose likelihood is compared.
FOLLOWING = 40
# A text is read in stretches, each behind the end of the one before it.
MOST_READ = 16_384
LEAD = 1_024
# What is written and read behind a place at the end of a stretch.
SLACK = MOST_WRITTEN + 2 + MOST_REPLACED + FOLLOWING
# Tokens whose likelihoods are asked for at once.
_ROWS = 512


@dataclass(frozen=True, slots=True)
class Edit:
    """Tokens from `start` up to `end` and the ones that a model would have written instead.

    `here` is how much likelier, in nats, those are than the tokens that they replace, and `after`
    how much likelier they make what follows.
    """

    start: int
    end: int
    token_ids: tuple[int, ...]
    here: float
    after: float


@torch.inference_mode()
def proofread(
    reader: Reader,
    token_ids: Sequence[int],
    least: Sequence[float],
    breaks: Callable[[int], bool] = lambda token_id: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Edit]:
    """Returns the Edits of `token_ids`, in their order.

    One is looked for where the likeliest rival of a token is by the `least` of that place likelier,
    in nats, than the token. No token that `breaks` lines is written or replaced. Afterwards nothing
    of use is in the reader's memory.

    Raises:
        ModelError: the reader has hardly room for more than SLACK tokens.
    """
    wanted = [place for place, one in enumerate(least) if one < math.inf]
    # what comes after the last place, and behind what follows it, need not be read
    total = min(len(token_ids), wanted[-1] + SLACK) if wanted else 0
    done = 0
    size = min(MOST_READ, reader.capacity - SLACK)
    lead = min(LEAD, size // 4)
    if size <= lead + SLACK:
        raise ModelError(
            f"a window of {reader.capacity:,} tokens is too small to proofread in, expected at "
            f"least {3 * SLACK:,}"
        )
    found: list[Edit] = []
    while done < total:
        start = max(0, done - lead)
        end = min(total, start + size)
        last = end if end == total else end - SLACK
        own = [least[place] if place >= done else math.inf for place in range(start, last)]

        def tell(share: float, first: int = done, count: int = last - done) -> None:
            on_progress(first + int(share * count), total)

        for edit in _stretch(reader, token_ids[start:end], own, breaks, tell):
            found.append(replace(edit, start=start + edit.start, end=start + edit.end))
        done = last
    return found


def _stretch(
    reader: Reader,
    token_ids: Sequence[int],
    least: Sequence[float],
    breaks: Callable[[int], bool],
    tell: Callable[[float], None],
) -> list[Edit]:
    """The Edits of one stretch, which is read from nothing."""
    reader.truncate(0)
    parts, total = [], len(token_ids)
    for first in range(0, total - 1, _ROWS):
        tell(0.5 * first / total)
        ids = torch.tensor(token_ids[first : first + _ROWS + 1])
        parts.append(reader.likelihoods(ids[:-1], ids[1:]))
    if not parts:
        return []
    known = Likelihoods(*(torch.cat(some) for some in zip(*parts, strict=True)))
    found = []
    # from behind, so that what stands before each place is still read
    for place in range(len(least) - 1, 0, -1):
        tell(1 - 0.5 * place / total)
        rival, likelier = int(known.rival_ids[place - 1]), float(known.rivals[place - 1])
        surprise = likelier - float(known.actual[place - 1])
        if surprise > 0 and surprise >= least[place]:
            reader.truncate(place)
            if met := _met(reader, token_ids, place, rival, breaks):
                found.append(_edit(reader, token_ids, place, met, likelier, known.actual))
    return found[::-1]


def _met(
    reader: Reader,
    token_ids: Sequence[int],
    place: int,
    rival: int,
    breaks: Callable[[int], bool],
) -> tuple[list[int], int] | None:
    """What the model writes from the rival on until it meets the text again, and instead of what.

    That is the tokens written, and how many of the text they replace: both go on alike for two.
    """
    until = place
    while until < min(len(token_ids), place + MOST_REPLACED) and not breaks(token_ids[until]):
        until += 1
    written = [rival]
    while len(written) < MOST_WRITTEN + 2:
        written.append(int(reader.decode(torch.tensor(written[-1:]))[-1].argmax()))
        new, following = written[:-2], written[-2:]
        if new and breaks(new[-1]):
            return None
        for at in range(place, until + 1):
            if (new or at > place) and list(token_ids[at : at + 2]) == following:
                return new, at - place
    return None


def _edit(
    reader: Reader,
    token_ids: Sequence[int],
    place: int,
    met: tuple[list[int], int],
    likelier: float,
    actual: Tensor,
) -> Edit:
    """The Edit at a place, where the model's own words met the text again."""
    new, replaced = met
    end = place + replaced
    following = list(token_ids[end : end + FOLLOWING])
    reader.truncate(place)
    ids = torch.tensor([*new, *following])
    likely = [likelier, *reader.likelihoods(ids[:-1], ids[1:]).actual.tolist()]
    before = actual[place - 1 : end - 1].sum()
    behind = actual[end - 1 : end - 1 + len(following)].sum()
    here, after = sum(likely[: len(new)]) - before, sum(likely[len(new) :]) - behind
    return Edit(place, end, tuple(new), float(here), float(after))
