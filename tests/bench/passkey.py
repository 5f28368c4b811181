"""A pass key at each of five depths of a long text, found or not, on a CPU or a GPU.

One sentence in the text gives a number, and the number is asked for. The deepest key comes first:
the next text is the same up to its own key, so that much of it need not be read again.

Run: python -P tests/bench/passkey.py MODEL_DIRECTORY TEXT OUT.json LENGTH [LENGTH ...]
         [--attention MODE] [--decoding MODE] [--extend NAME] [--device cuda] [--kv8] [--seed N]
         [--keys N] [--together]

OUT.json is added to, so that runs of several modes lie side by side.
"""

import argparse
import json
import resource
import time
from datetime import date
from itertools import islice
from pathlib import Path

import torch

from longctx.runtime.bench import machine
from longctx.runtime.chat import chat_prompt
from longctx.runtime.config import load_config
from longctx.runtime.fidelity_run import SYSTEM
from longctx.runtime.fidelity_tasks import make_items, passkey, with_facts
from longctx.runtime.loading import load_engine
from longctx.runtime.sight import Sight
from longctx.runtime.tokenizer import Tokenizer

DEPTHS = 5
ANSWER_TOKENS = 24
ROOM = 256


def prompts_of(tokenizer: Tokenizer, text: str, length: int, seed: int, together: bool):
    """Yields the Items, the deepest first, each with its prompt of about `length` tokens.

    They may lie together in one text, which is read once: each is then asked for by its place.
    """
    ids = tokenizer.encode(text[: 6 * length])[: length - ROOM]
    text = tokenizer.decode(ids)
    items = make_items("en", DEPTHS, seed, [passkey])
    for item in sorted(items, key=lambda item: -item.depth):
        facts = [fact for one in items for fact in one.facts] if together else item.facts
        documents = with_facts(text, facts)
        yield (
            item,
            chat_prompt(tokenizer, system=SYSTEM, documents=documents, question=item.question),
        )


def measure(options: argparse.Namespace, tokenizer: Tokenizer, length: int) -> dict:
    """Returns which keys were found, and what reading took."""
    text = options.text.read_text("utf-8")
    native = load_config(options.model).native_window
    sight = Sight(
        options.attention,
        options.decoding,
        options.extend if length > native else "none",
        1 << (length - 1).bit_length(),
    )
    notices: list[str] = []
    engine = load_engine(
        options.model, window=length, sight=sight, device=options.device, kv8=options.kv8,
        on_notice=notices.append,
    )  # fmt: skip
    on_gpu = options.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    found, seconds = [], []
    marks = {}
    prompts = prompts_of(tokenizer, text, length, options.seed, options.together)
    for item, prompt in islice(prompts, options.keys):
        began = time.perf_counter()

        def on_progress(done: int, total: int, began=began, first=not seconds) -> None:
            size = 1 << done.bit_length() - 1 if done else 0
            if first and size >= 16_384 and size not in marks:
                marks[size] = done, round(time.perf_counter() - began, 2)
                print(*marks[size], flush=True)

        ids = engine.generate(
            prompt.ids,
            max_tokens=ANSWER_TOKENS,
            stop_ids=tokenizer.stop_ids,
            question_start=len(prompt.prefix_ids),
            on_progress=on_progress,
        )
        answer, first = [], None
        for token in ids:
            first = first or time.perf_counter() - began
            answer.append(token)
        said = tokenizer.decode(answer)
        seconds.append(first)
        found.append({"depth": item.depth, "expected": item.answers[0], "answer": said,
                      "found": item.score(said) == 1})  # fmt: skip
        print(item.depth, item.answers[0], said, flush=True)
    meter = engine.meter
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    return {
        "length": length,
        "num_tokens": len(prompt.ids),
        "attention": options.attention,
        "decoding": options.decoding,
        "extend": sight.extend,
        "kv8": options.kv8,
        "seed": options.seed,
        "together": options.together,
        "device": torch.cuda.get_device_name() if on_gpu else machine()["processor"],
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "found": sum(one["found"] for one in found),
        "first_token_seconds": round(seconds[0], 2),
        "tokens_per_second": round(len(prompt.ids) / seconds[0], 1),
        "tokens_read_by_seconds": list(marks.values()),
        "peak_gib": round(
            (peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 2**30, 2
        ),
        "recall_median": meter.median if meter else None,
        "recall_least": meter.worst.recall if meter and meter.worst else None,
        "notices": notices,
        "keys": sorted(found, key=lambda one: one["depth"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("lengths", type=int, nargs="+")
    parser.add_argument("--attention", default="auto")
    parser.add_argument("--decoding", default="auto")
    parser.add_argument("--extend", default="dca")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kv8", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keys", type=int, default=DEPTHS)
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.model)
    report = {"model": options.model.name, "text": options.text.name, "rows": []}
    if options.out.is_file():
        report = json.loads(options.out.read_text())
    for length in options.lengths:
        row = measure(options, tokenizer, length)
        report["rows"].append(row)
        options.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        shown = {key: value for key, value in row.items() if key != "keys"}
        print(shown, [one["answer"] for one in row["keys"]], flush=True)


if __name__ == "__main__":
    main()
