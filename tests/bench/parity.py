"""The decoder against transformers on a real model: logits, bfloat16, greedy continuations.

Run: python -P tests/bench/parity.py MODEL_DIRECTORY OUT.json
Both read the same stored weights. float32 is the truth; bfloat16 is measured by its distance from
that truth, ours and theirs. Continuations are 64 greedy tokens on ten prompts in float32.
"""

import json
import platform
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from longctx.runtime.decoder import forward
from longctx.runtime.loading import load_engine
from longctx.runtime.tokenizer import Tokenizer

TEXT = Path("/usr/share/common-licenses/GPL-3").read_text()
PROMPTS = [
    "def quicksort(items):\n",
    "The capital of France is",
    "SELECT name FROM users WHERE",
    "Section 1. Definitions. In this agreement,",
    "It was the best of times, it was",
    "从前有一座山，山里有",
    "class LinkedList:\n    def __init__(self",
    "1, 1, 2, 3, 5, 8,",
    "<html>\n<head>\n<title>",
    "The difference between a process and a thread is that",
]


def distance(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@torch.inference_mode()
def our_logits(directory, ids, numerics, step_size):
    reader = load_engine(directory, numerics=numerics).reader
    rows = []
    for start in range(0, len(ids), step_size):
        step = torch.tensor(ids[start : start + step_size])
        if step_size == 1:
            rows.append(reader.decode(step))
        else:
            rows.append(reader.decoder.logits(forward(reader.decoder, step, reader.cache)))
    return torch.cat(rows)


@torch.inference_mode()
def greedy(model, ids, count):
    out, cache, step = [], None, torch.tensor([ids])
    for _ in range(count):
        result = model(step, past_key_values=cache, use_cache=True)
        cache, step = result.past_key_values, result.logits[:, -1:].argmax(-1)
        out.append(int(step))
    return out


def main(directory: Path, out: Path) -> None:
    tokenizer = Tokenizer.load(directory)
    ids = tokenizer.encode(TEXT)[:400]
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    began = time.perf_counter()
    with torch.inference_mode():
        exact = model(torch.tensor([ids])).logits[0]
    result = {
        "model": directory.name,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "num_tokens": len(ids),
        "float32": {
            f"step {size}": distance(our_logits(directory, ids, "float32", size), exact)
            for size in (2048, 256, 77)
        },
        "mixed, prefill": distance(our_logits(directory, ids, "mixed", 2048), exact),
    }
    engine = load_engine(directory, numerics="float32")
    # brought to float32 once, not once a token: the same numbers, in a tenth of the time
    reader = engine.reader
    weights = {name: weight.float() for name, weight in reader.decoder.weights.items()}
    reader.decoder = replace(reader.decoder, weights=weights)
    equal = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer.encode(prompt)
        equal.append(
            list(engine.generate(prompt_ids, max_tokens=64)) == greedy(model, prompt_ids, 64)
        )
        print(f"continuation {len(equal)}: {equal[-1]}", file=sys.stderr, flush=True)
    result["equal greedy continuations of 64 tokens"] = f"{sum(equal)} of {len(equal)}"
    del model, engine, reader, weights
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        theirs = distance(model(torch.tensor([ids])).logits[0].float(), exact)
    ours = distance(our_logits(directory, ids, "bfloat16", 2048), exact)
    result["bfloat16"] = {"ours": ours, "transformers": theirs, "ratio": ours / theirs}
    for numerics in ("mixed", "narrow", "int8", "int4"):
        decoded = our_logits(directory, ids[:64], numerics, 1)
        result[f"{numerics}, decoding"] = distance(decoded, exact[:64])
    result["seconds"] = round(time.perf_counter() - began, 1)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
