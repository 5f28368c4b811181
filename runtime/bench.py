"""Measures one run of the engine in a process of its own: load, prefill, decoding, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longctx.runtime.errors import ModelError

_CHILD = "from longctx.runtime.bench import child; child()"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is run: a prompt of `num_tokens`, then `num_written` tokens of answer."""

    directory: str
    text: str
    num_tokens: int
    num_written: int
    numerics: str = "auto"
    threads: int | None = None
    kv8: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it; `numerics` is the choice that was made."""

    numerics: str
    threads: int
    load_seconds: float
    prefill_seconds: float
    decode_seconds: float
    num_decoded: int
    predicted_peak_bytes: int | None
    peak_bytes: int


def run_apart(setting: Setting) -> Measured:
    """Returns what a fresh process measures, so that no run warms or burdens another.

    Raises:
        ModelError: the run failed; the message is the last line it wrote.
    """
    command = [sys.executable, "-P", "-c", _CHILD]
    done = subprocess.run(
        command, input=json.dumps(asdict(setting)), text=True, capture_output=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ModelError(lines[-1] if lines else f"the run ended with exit {done.returncode}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def child() -> None:
    """Read a Setting from stdin, write what was Measured to stdout."""
    setting = Setting(**json.load(sys.stdin))
    try:
        sys.stdout.write(json.dumps(asdict(measure(setting))) + "\n")
    except ModelError as error:
        sys.exit(str(error))


def measure(setting: Setting) -> Measured:
    """Returns what one run takes in this process.

    Raises:
        ModelError: the text is shorter than the prompt, or the model cannot be run.
    """
    import torch

    from longctx.runtime.loading import load_engine
    from longctx.runtime.memory import peak_bytes
    from longctx.runtime.tokenizer import Tokenizer

    directory = Path(setting.directory)
    ids = Tokenizer.load(directory).encode(setting.text)[: setting.num_tokens]
    if len(ids) < setting.num_tokens:
        raise ModelError(
            f"the text holds {len(ids):,} tokens, expected {setting.num_tokens:,} or more",
            "give a longer one with --text",
        )
    window = setting.num_tokens + setting.num_written
    began = time.perf_counter()
    engine = load_engine(
        directory,
        window=window,
        numerics=setting.numerics,
        kv8=setting.kv8,
        num_threads=setting.threads,
    )
    # what is guessed from the text would say more of the text than of the machine
    engine.guesses = False
    times = [time.perf_counter()]
    # without stop ids the answer is as long as asked for
    times += [time.perf_counter() for _ in engine.generate(ids, max_tokens=setting.num_written)]
    return Measured(
        numerics=engine.reader.numerics.name,
        threads=torch.get_num_threads(),
        load_seconds=times[0] - began,
        prefill_seconds=times[1] - times[0],
        decode_seconds=times[-1] - times[1],
        num_decoded=len(times) - 2,
        predicted_peak_bytes=_predicted(directory, window, setting),
        peak_bytes=peak_bytes(),
    )


def _predicted(directory: Path, num_tokens: int, setting: Setting) -> int | None:
    """Returns the peak that the memory plan expects; None for a foreign architecture."""
    from longctx.runtime.config import foreign_reason, load_config
    from longctx.runtime.engine import STEP_SIZE
    from longctx.runtime.memory import plan_memory
    from longctx.runtime.numerics import choose_numerics

    if foreign_reason(directory) is not None:
        return None
    return plan_memory(
        load_config(directory),
        directory,
        num_tokens,
        step_size=STEP_SIZE,
        numerics=choose_numerics(setting.numerics, kv8=setting.kv8),
    ).peak_bytes


def machine() -> dict[str, Any]:
    """Returns what a figure means little without: processor, cores, memory, versions."""
    import os
    import platform

    import torch

    from longctx.runtime.memory import available_bytes

    return {
        "processor": _processor() or platform.machine(),
        "cores": os.cpu_count(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "free_bytes": available_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _processor() -> str:
    """Returns the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names: Sequence[str] = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else ""
