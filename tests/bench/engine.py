"""Load, prefill, decoding and peak memory of the engine, each length in a process of its own.

Run: python -P tests/bench/engine.py MODEL_DIRECTORY TEXT_FILE OUT.json LENGTH [LENGTH ...]
"""

import json
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

WRITTEN = 24


def measure(directory: Path, text: Path, num_tokens: int) -> dict[str, object]:
    import torch

    from longctx.runtime.config import load_config
    from longctx.runtime.engine import STEP_SIZE, load_engine
    from longctx.runtime.memory import peak_bytes, plan_memory
    from longctx.runtime.tokenizer import Tokenizer

    began = time.perf_counter()
    engine = load_engine(directory, window=num_tokens + WRITTEN)
    loaded = time.perf_counter()
    ids = Tokenizer.load(directory).encode(text.read_text())[:num_tokens]
    assert len(ids) == num_tokens, f"{text} holds {len(ids)} tokens only"
    plan = plan_memory(
        load_config(directory),
        directory,
        num_tokens + WRITTEN,
        step_size=STEP_SIZE,
        numerics=engine.reader.numerics,
    )
    times = [time.perf_counter()]
    times += [time.perf_counter() for _ in engine.generate(ids, max_tokens=WRITTEN)]
    return {
        "num_tokens": num_tokens,
        "numerics": engine.reader.numerics.name,
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "load_seconds": round(loaded - began, 3),
        "prefill_tokens_per_second": round(num_tokens / (times[1] - times[0]), 1),
        "decode_tokens_per_second": round((len(times) - 2) / (times[-1] - times[1]), 2),
        "predicted_peak_gib": round(plan.peak_bytes / 2**30, 3),
        "measured_peak_gib": round(peak_bytes() / 2**30, 3),
        "predicted_over_measured": round(plan.peak_bytes / peak_bytes(), 3),
    }


def main(directory: str, text: str, out: str, *lengths: str) -> None:
    rows = []
    for length in lengths:
        command = [sys.executable, "-P", __file__, "--one", directory, text, length]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        print(json.dumps(rows[-1]), flush=True)
    report = {
        "model": Path(directory).name,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "rows": rows,
    }
    Path(out).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        print(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(*sys.argv[1:])
