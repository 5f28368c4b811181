"""The second question on a text: seconds to its first token, and the same from llama.cpp.

Each line is of a process of its own: what reads the text and then answers two questions, what finds
it stored, as after a reboot, and what reads it again without a store. All answer greedily, and the
answers of longctx must be the same. llama.cpp keeps its state by `save_state` in a file, and
`load_state` brings it back.

Run: python -P tests/bench/second_question.py MODEL_DIRECTORY OFFICIAL.gguf TEXT OUT.json LENGTHS \
    [PEER_LENGTHS PEER_PYTHON]
"""

import json
import pickle
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

WRITTEN = 24
THREADS = 2
QUESTIONS = (
    "Who is the first person that this text names?",
    "In which town does the text begin, and what is said of it?",
)
SYSTEM = "Answer from the text alone, as briefly as you can."


def prompts(directory: Path, text: Path, length: int) -> list[tuple[list[int], int]]:
    """Returns the ids of both questions on about `length` tokens, and where each begins."""
    from longctx.runtime.chat import chat_prompt
    from longctx.runtime.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(directory)
    ids = tokenizer.encode(text.read_text("utf-8")[: 6 * length])[: length - 256]
    documents = tokenizer.decode(ids)
    made = [
        chat_prompt(tokenizer, system=SYSTEM, documents=documents, question=question)
        for question in QUESTIONS
    ]
    return [(list(prompt.ids), len(prompt.prefix_ids)) for prompt in made]


def run_longctx(
    directory: Path, prompts: list[tuple[list[int], int]], length: int, store: Path | None
) -> dict[str, Any]:
    """Returns what loading took and, of each prompt, what came after how long."""
    from longctx.runtime.config import load_config
    from longctx.runtime.loading import load_engine
    from longctx.runtime.prefix_store import PrefixStore
    from longctx.runtime.sight import Sight

    native = load_config(directory).native_window
    window = 1 << (length - 1).bit_length()
    sight = Sight(extend="dca" if window > native else "none", window=window)
    began = time.perf_counter()
    prefixes = PrefixStore(store, 10**12) if store else None
    answers = []
    with load_engine(
        directory, window=window, num_threads=THREADS, sight=sight, prefixes=prefixes
    ) as engine:
        loaded = time.perf_counter() - began
        for ids, start in prompts:
            asked = time.perf_counter()
            answer = engine.generate(ids, max_tokens=WRITTEN, question_start=start)
            first = [next(answer)]
            seconds = time.perf_counter() - asked
            answers.append({"first_token_seconds": round(seconds, 3), "ids": first + list(answer)})
    return {"load_seconds": round(loaded, 2), "answers": answers}


def run_llama(gguf: Path, prompts: list[tuple[list[int], int]], state: Path) -> dict[str, Any]:
    """Returns the same of llama.cpp; its state is kept at the end, cut back to the documents."""
    from llama_cpp import Llama

    began = time.perf_counter()
    model = Llama(
        str(gguf),
        n_ctx=max(len(ids) for ids, _ in prompts) + WRITTEN,
        n_threads=THREADS,
        n_threads_batch=THREADS,
        flash_attn=True,
        verbose=False,
    )
    report: dict[str, Any] = {"load_seconds": round(time.perf_counter() - began, 2), "answers": []}
    began = time.perf_counter()
    found = state.is_file()
    if found:
        model.load_state(pickle.loads(state.read_bytes()))
        report["restore_seconds"] = round(time.perf_counter() - began, 3)
    for ids, start in prompts:
        asked = time.perf_counter()
        known = 0 if not report["answers"] and not found else start
        model.n_tokens = known
        model.eval(ids[known:])
        first = int(model.sample(temp=0.0))
        seconds = time.perf_counter() - asked
        report["answers"].append({"first_token_seconds": round(seconds, 3), "ids": [first]})
    if not found:
        began = time.perf_counter()
        state.write_bytes(pickle.dumps(model.save_state()))
        report["keep_seconds"] = round(time.perf_counter() - began, 2)
    report["stored_bytes"] = state.stat().st_size
    return report


def apart(python: str, *arguments: Any) -> dict[str, Any]:
    """Returns the report of a process of its own."""
    command = [python, "-P", __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def one(engine: str, model: str, source: str, length: str, place: str, which: str) -> None:
    """Print the report of one process."""
    asked = json.loads(Path(source).read_text())
    asked = asked if which == "both" else asked[int(which) :][:1]
    if engine == "longctx":
        report = run_longctx(Path(model), asked, int(length), Path(place) if place else None)
    else:
        report = run_llama(Path(model), asked, Path(place))
    print(json.dumps(report))


def measured(
    python: str, engine: str, model: Path, asked: Path, length: int, place: Path
) -> dict[str, Any]:
    """Returns the row of an engine at a length."""
    both = apart(python, engine, model, asked, length, place, "both")
    again = apart(python, engine, model, asked, length, place, 1)
    first, second = both["answers"]
    row = {
        "engine": engine,
        "length": length,
        "num_tokens": len(json.loads(asked.read_text())[1][0]),
        "first_question_seconds": first["first_token_seconds"],
        "second_question_seconds": second["first_token_seconds"],
        "times_as_fast": round(first["first_token_seconds"] / second["first_token_seconds"], 1),
        "new_process": {key: value for key, value in again.items() if key != "answers"},
        "new_process_seconds": again["answers"][0]["first_token_seconds"],
    }
    if engine == "longctx":
        unkept = apart(python, engine, model, asked, length, "", 1)
        row["without_store_seconds"] = unkept["answers"][0]["first_token_seconds"]
        ids = [second["ids"], again["answers"][0]["ids"], unkept["answers"][0]["ids"]]
        row["same_answers"] = ids[0] == ids[1] == ids[2]
        row["num_written"] = len(ids[0])
        row["stored_bytes"] = sum(path.stat().st_size for path in place.glob("*.kv"))
    else:
        row["keep_seconds"], row["stored_bytes"] = both["keep_seconds"], both["stored_bytes"]
    return row


def main(model: str, gguf: str, text: str, out: str, lengths: str, *peer: str) -> None:
    from longctx.runtime.bench import machine

    report: dict[str, Any] = {
        "model": Path(model).name,
        "text": Path(text).name,
        "machine": machine(),
        "threads": THREADS,
        "date": date.today().isoformat(),
        "rows": [],
    }
    runs = [(sys.executable, "longctx", Path(model), int(n)) for n in lengths.split(",")]
    if peer:
        runs += [(peer[1], "llama.cpp", Path(gguf), int(n)) for n in peer[0].split(",")]
    for python, engine, place, length in runs:
        with tempfile.TemporaryDirectory(prefix="longctx-second-") as folder:
            asked = Path(folder) / "asked.json"
            asked.write_text(json.dumps(prompts(Path(model), Path(text), length)))
            row = measured(python, engine, place, asked, length, Path(folder) / "kept")
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
        Path(out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
