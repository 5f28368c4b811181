"""What each numeric mode loses: 512 teacher-forced tokens of five texts against float32.

Of each text a beginning is read, then 512 tokens follow, once as a prompt and once as an answer is
decoded, and the probabilities of the next token are held against those of float32. Some modes are
measured with keys and values in 8 bits, too.

Run: python -P tests/bench/numerics_loss.py MODEL_DIRECTORY OUT.json TEXT [TEXT ...]
"""

import json
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch

from longctx.kernels.linear import FEW_ROWS
from longctx.runtime.bench import machine
from longctx.runtime.decoder import forward
from longctx.runtime.loading import load_engine
from longctx.runtime.reader import DecoderReader
from longctx.runtime.tokenizer import Tokenizer

BEFORE, FORCED = 256, 512
AS_PROMPT = ("bfloat16", "narrow", "int8")
AS_ANSWER = ("mixed", "narrow", "int8", "int4")
IN_KV8 = (("bfloat16", False), ("int8", False), ("narrow", True))


@torch.inference_mode()
def logits(
    directory: Path,
    texts: list[torch.Tensor],
    numerics: str,
    *,
    decoding: bool,
    kv8: bool = False,
):
    """Returns float32 logits [texts, FORCED, V] of what follows each beginning."""
    reader = load_engine(directory, window=BEFORE + FORCED, numerics=numerics, kv8=kv8).reader
    assert isinstance(reader, DecoderReader)
    found = []
    for ids in texts:
        reader.truncate(0)
        forward(reader.decoder, ids[:BEFORE], reader.cache)
        if decoding:
            parts = ids[BEFORE:].split(FEW_ROWS)
            found.append(torch.cat([reader.decode(part) for part in parts]))
        else:
            hidden = forward(reader.decoder, ids[BEFORE:], reader.cache)
            found.append(reader.decoder.logits(hidden))
    return torch.stack(found)


def loss(exact: torch.Tensor, got: torch.Tensor) -> dict[str, float]:
    """Returns the Kullback-Leibler distance of the next tokens, and how often the best agree."""
    distances, agreed = [], []
    for one, other in zip(exact, got, strict=True):
        log_p, log_q = one.log_softmax(-1), other.log_softmax(-1)
        distances += (log_p.exp() * (log_p - log_q)).sum(-1).tolist()
        agreed += (one.argmax(-1) == other.argmax(-1)).tolist()
    return {
        "median_kl": round(statistics.median(distances), 7),
        "p95_kl": round(statistics.quantiles(distances, n=20)[-1], 6),
        "top1_agreement": round(statistics.mean(agreed), 4),
    }


def main(directory: Path, out: Path, paths: list[Path]) -> None:
    began = time.perf_counter()
    tokenizer = Tokenizer.load(directory)
    texts = []
    for path in paths:
        ids = tokenizer.encode(path.read_text(encoding="utf-8")[:200_000])
        middle = len(ids) // 2
        texts.append(torch.tensor(ids[middle : middle + BEFORE + FORCED]))
        assert len(texts[-1]) == BEFORE + FORCED, f"{path} is too short"
    exact = logits(directory, texts, "float32", decoding=False)
    result = {
        "model": directory.name,
        "date": date.today().isoformat(),
        "machine": machine(),
        "texts": [path.name for path in paths],
        "tokens": FORCED * len(texts),
        "modes": {},
    }
    modes = [(name, False, False) for name in AS_PROMPT]
    modes += [(name, True, False) for name in AS_ANSWER]
    modes += [(*mode, True) for mode in IN_KV8]
    for numerics, decoding, kv8 in modes:
        name = f"{numerics}, {'decoded' if decoding else 'prompt'}{', kv8' if kv8 else ''}"
        got = logits(directory, texts, numerics, decoding=decoding, kv8=kv8)
        result["modes"][name] = loss(exact, got)
        result["seconds"] = round(time.perf_counter() - began)
        print(name, result["modes"][name], flush=True)
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
