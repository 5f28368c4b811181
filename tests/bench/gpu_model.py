"""How far a real model on a GPU lies from float32 on a CPU, beside bfloat16 on that CPU.

A text is read and its next 64 tokens are fed one by one, as an answer is; what is compared are the
probabilities of the next token, over the likeliest words of float32.

Run: python -P tests/bench/gpu_model.py MODEL_DIRECTORY TEXT REFERENCE.npz             on a CPU
     python -P tests/bench/gpu_model.py MODEL_DIRECTORY TEXT REFERENCE.npz OUT.json    on a GPU
"""

import json
import statistics
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch

from longctx.runtime.loading import load_engine
from longctx.runtime.tokenizer import Tokenizer

READ, FED = 3_000, 64
WORDS = 512


@torch.inference_mode()
def log_probabilities(directory: Path, ids: torch.Tensor, numerics: str, device: str):
    """Returns the log probabilities [FED, V] of the words after each fed token."""
    reader = load_engine(directory, window=len(ids), numerics=numerics, device=device).reader
    reader.read(ids[:READ], lambda part: None, dense=True)
    fed = [reader.decode(one)[0].float().cpu() for one in ids[READ:].split(1)]
    return torch.stack(fed).log_softmax(-1)


def distances(exact: torch.Tensor, words: torch.Tensor, got: torch.Tensor) -> dict[str, float]:
    """Returns KL(exact || got) over the words [FED, WORDS], and how often the likeliest agree."""
    others = got.gather(-1, words)
    divergence = (exact.exp() * (exact - others)).sum(-1).tolist()
    agreed = (got.argmax(-1) == words[:, 0]).float().mean()
    return {
        "mean_kl": statistics.mean(divergence),
        "median_kl": statistics.median(divergence),
        "largest_kl": max(divergence),
        "top1_agreement": float(agreed),
    }


def main(directory: Path, text: Path, reference: Path, out: Path | None = None) -> None:
    ids = torch.tensor(Tokenizer.load(directory).encode(text.read_text("utf-8")[:60_000]))
    ids = ids[: READ + FED]
    if out is None:
        exact, words = log_probabilities(directory, ids, "float32", "cpu").topk(WORDS)
        on_cpu = distances(exact, words, log_probabilities(directory, ids, "bfloat16", "cpu"))
        np.savez(reference, exact=exact.numpy(), words=words.numpy(), cpu=json.dumps(on_cpu))
        print(on_cpu)
        return
    with np.load(reference, allow_pickle=False) as stored:
        exact, words = (torch.from_numpy(stored[name]) for name in ("exact", "words"))
        on_cpu = json.loads(str(stored["cpu"]))
    found = {
        "model": directory.name,
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(),
        "read": READ,
        "fed": FED,
        "cpu, bfloat16": on_cpu,
    }
    for numerics in ("bfloat16", "fp8"):
        got = log_probabilities(directory, ids, numerics, "cuda")
        found[f"gpu, {numerics}"] = distances(exact, words, got)
    out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
