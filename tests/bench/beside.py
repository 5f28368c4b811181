"""Answers written one after another and four side by side: seconds, alternating in one process.

Each of eight passages of a text is put to the model as `summarize` does it. How long the reading
takes is measured by answers of one token.

Run: python -P tests/bench/beside.py MODEL_DIRECTORY TEXT OUT.json [--runs N]

OUT.json is added to, a row for each model.
"""

import argparse
import json
import statistics
import time
from datetime import date
from pathlib import Path

from longctx.kernels.linear import FEW_ROWS
from longctx.prompts.template import fill, load
from longctx.runtime.bench import machine
from longctx.runtime.chat import chat_prompt
from longctx.runtime.loading import load_engine
from longctx.runtime.tokenizer import Tokenizer
from longctx.runtime.writing import Request

PASSAGES = 8
CHARACTERS = 3_500
TOKENS = 60


def answer(engine, requests, at_once: int) -> tuple[float, int]:
    """Returns the seconds of reading and answering, and how many tokens the answers have."""
    began, written = time.perf_counter(), 0
    for first in range(0, len(requests), at_once):
        for ids in engine.generate_each(requests[first : first + at_once]):
            written += len(list(ids))
    return time.perf_counter() - began, written


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.model)
    text = options.text.read_text("utf-8")
    prompts = [
        chat_prompt(
            tokenizer,
            system=load("system"),
            documents="",
            question=fill("summarize_passage", text=text[start : start + CHARACTERS]),
        )
        for start in range(0, PASSAGES * CHARACTERS, CHARACTERS)
    ]
    own = max(len(one.ids) for one in prompts) + TOKENS
    engine = load_engine(options.model, window=(1 + FEW_ROWS) * own)
    asked = {
        tokens: [
            Request(one.ids, tokens, tokenizer.stop_ids, question_start=len(one.prefix_ids))
            for one in prompts
        ]
        for tokens in (1, TOKENS)
    }
    ways = {"reading": (1, 1), "one by one": (TOKENS, 1), "side by side": (TOKENS, FEW_ROWS)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    written = dict.fromkeys(ways, 0)
    answer(engine, asked[TOKENS][:FEW_ROWS], FEW_ROWS)
    for _ in range(options.runs):
        for way, (tokens, at_once) in ways.items():
            took, written[way] = answer(engine, asked[tokens], at_once)
            taken[way].append(took)
            print(f"{way}: {took:.2f} s, {written[way]} tokens", flush=True)
    median = {way: statistics.median(found) for way, found in taken.items()}
    row = {
        "model": options.model.name,
        "text": options.text.name,
        "date": date.today().isoformat(),
        **machine(),
        "passages": PASSAGES,
        "prompt_tokens": sum(len(one.ids) for one in prompts),
        "written": written,
        "seconds": {way: [round(one, 2) for one in found] for way, found in taken.items()},
        "tokens_per_second": {
            way: round((written[way] - PASSAGES) / (median[way] - median["reading"]), 1)
            for way in ("one by one", "side by side")
        },
        "times_as_fast": round(median["one by one"] / median["side by side"], 2),
    }
    known = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.write_text(json.dumps([*known, row], indent=1) + "\n")
    print(json.dumps(row["tokens_per_second"]), row["times_as_fast"])


if __name__ == "__main__":
    main()
