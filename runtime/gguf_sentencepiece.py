"""A SentencePiece BPE vocabulary (Llama 2, Mistral) as parts of a tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

_SPACE = "\u2581"


def sentencepiece_parts(
    ids: Mapping[str, int], scores: NDArray[Any], *, unknown: str | None, space_first: bool
) -> dict[str, Any]:
    """Normalizer, pre-tokenizer, model and decoder for `ids` with one score for each id.

    SentencePiece joins the neighbours whose union has the best score; the same order as a list
    of merges is every way to cut a token in two, best scores first (Kudo and Richardson, 2018,
    arXiv 1808.06226).
    """
    merges = [
        (float(scores[index]), token[:cut], token[cut:])
        for token, index in ids.items()
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    merges.sort(key=lambda merge: (-merge[0], ids[merge[1]], ids[merge[2]]))
    to_space: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    from_space = {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}
    normalizers = [{"type": "Prepend", "prepend": _SPACE}] if space_first else []
    decoders: list[dict[str, Any]] = [from_space, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if space_first:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*normalizers, to_space]},
        "pre_tokenizer": None,
        "model": {
            "type": "BPE",
            "unk_token": unknown,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": dict(ids),
            "merges": [[left, right] for _, left, right in merges],
        },
        "decoder": {"type": "Sequence", "decoders": decoders},
    }
