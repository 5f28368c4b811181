"""What matrices and rows in 8-bit floats cost: questions on long texts, and the next token.

The GPU path multiplies float8 with `--numerics fp8` (`triton_fp8`). The same rounding is made here
on a CPU, where the products of the codes are exact in bfloat16 but for the sum, and the same texts
are asked with and without it.

Run: python -P tests/bench/fp8_loss.py MODEL_DIRECTORY OUT.json TEXT [--length N] [--samples N]
         [--questions N] [--keep-down]

With --keep-down the matrix that leads out of the MLP, whose rows have the largest numbers, stays.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear

from longctx.kernels.triton_fp8 import FLOAT8, MOST
from longctx.runtime import layer
from longctx.runtime.config import load_config
from longctx.runtime.decoder import build_decoder
from longctx.runtime.fidelity_run import Book, Effort, divergences, make_case, run_case
from longctx.runtime.numerics import choose_numerics
from longctx.runtime.sight import Sight
from longctx.runtime.tokenizer import Tokenizer
from longctx.runtime.weights import open_weights

NUMERICS = "bfloat16"
ROWS = 256
ANSWER_TOKENS = 32


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the codes of rows [R, K], whole in bfloat16, and their scales [R]."""
    scales = (rows.float().abs().amax(1) / MOST).clamp(min=1e-12)
    return (rows.float() / scales[:, None]).to(FLOAT8).to(torch.bfloat16), scales


@contextmanager
def in_fp8(kept_width: int | None) -> Iterator[None]:
    """While it lasts, the matrices of the layers meet rows in 8-bit floats.

    Those for rows of `kept_width` numbers do not.
    """
    known: dict[int, tuple[Tensor, Tensor]] = {}
    real = layer.project

    def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if x.shape[1] == kept_width:
            return real(x, weight, bias)
        if weight.data_ptr() not in known:
            known[weight.data_ptr()] = rounded(weight)
        (codes, scales), (rows, steps) = known[weight.data_ptr()], rounded(x)
        out = linear(rows, codes).float() * steps[:, None] * scales
        return (out if bias is None else out + bias).to(x.dtype)

    layer.project = project
    try:
        yield
    finally:
        layer.project = real


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--length", type=int, default=8_192)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--keep-down", action="store_true")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.model)
    book = Book(options.text.stem, options.text.read_text("utf-8"), "en")
    effort = Effort(options.questions, options.samples, ROWS, ANSWER_TOKENS)
    numerics = choose_numerics(NUMERICS)
    config = load_config(options.model)
    head = build_decoder(config, open_weights(options.model), numerics)
    scores: dict[str, list[float]] = {"bfloat16": [], "fp8": []}
    kl: dict[str, list[float]] = {"inside": [], "after": []}
    for sample in range(options.samples):
        case = make_case(tokenizer, book, options.length, sample, effort)

        def asked(case=case):
            return run_case(
                options.model, tokenizer, case, Sight(attention="dense"),
                numerics=NUMERICS, answer_tokens=ANSWER_TOKENS,
            )  # fmt: skip

        record, rows = asked()
        with in_fp8(config.mlp_size if options.keep_down else None):
            other, other_rows = asked()
        for name, one in (("bfloat16", record), ("fp8", other)):
            scores[name] += [answer["score"] for answer in one["answers"]]
        for name in kl:
            kl[name] += divergences(head, rows[name], other_rows[name])
        report = _report(options, scores, kl)
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report), flush=True)


def _report(options, scores, kl) -> dict:
    """Returns the means of both, their paired difference with its 95 % interval, and the KL."""
    pairs = [b - a for a, b in zip(scores["bfloat16"], scores["fp8"], strict=True)]
    return {
        "model": options.model.name,
        "date": date.today().isoformat(),
        "text": options.text.name,
        "length": options.length,
        "kept": "down" if options.keep_down else None,
        "questions": len(pairs),
        "score_bfloat16": statistics.mean(scores["bfloat16"]),
        "score_fp8": statistics.mean(scores["fp8"]),
        "difference": statistics.mean(pairs),
        "interval": 1.96 * statistics.stdev(pairs) / len(pairs) ** 0.5,
        "median_kl": {name: statistics.median(found) for name, found in kl.items()},
    }


if __name__ == "__main__":
    main()
