"""Prefill, decoding and peak memory of longctx and its peers: same model, same token ids, in turns.

Each figure is of a process of its own. llama.cpp reads the official GGUF file (flash attention on),
OpenVINO GenAI the same weights as Q8_0, since it does not read all of the official file's types;
transformers and longctx the store's copy in 16 bits. The peers live in an environment of their own,
made with `pip install openvino-genai llama-cpp-python transformers torch gguf`. Where an engine is
asked for that guesses words from the prompt (`longctx-lookup`), all prompts end in a quotation that
the answer goes on with.

Run: python -P tests/bench/peers.py MODEL_DIRECTORY OFFICIAL.gguf TEXT OUT.json LENGTHS REPEATS \
    PEER_PYTHON [ENGINE ...]
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

WRITTEN = 24
THREADS = 2

Run = Callable[[Path, Path, Sequence[int]], Iterator[str | None]]
"""Yields what it computes in, once ready, and then None for each token as it is written."""


def run_longctx(
    directory: Path,
    gguf: Path,
    ids: Sequence[int],
    attention: str = "dense",
    decoding: str = "dense",
    guesses: bool = False,
) -> Iterator[str | None]:
    from longctx.runtime.loading import load_engine
    from longctx.runtime.sight import Sight

    window, sight = len(ids) + WRITTEN, Sight(attention, decoding)
    engine = load_engine(directory, window=window, num_threads=THREADS, sight=sight)
    # what is guessed from the prompt says more of the text than of the engine
    engine.guesses = guesses
    numerics = engine.reader.numerics
    dtype = str(numerics.dtype).removeprefix("torch.")
    reading = {
        "tiles": "16 bit weights and activations, made of 4 to 8 bits",
        "bytes": "8 bit weights and activations",
        "narrow": "4 to 8 bit weights, 8 bit activations",
        "stored": "16 bit weights",
    }[numerics.reading]
    answers = "answers with 4 to 8 bit weights"
    yield f"{numerics.name}: prompts in {reading}, heads in {dtype}, {answers}"
    for _ in engine.generate(ids, max_tokens=WRITTEN):
        yield None


def run_sparse(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    return run_longctx(directory, gguf, ids, "blocks")


def run_chosen(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    """Written tokens choose their keys too: as many as by default."""
    return run_longctx(directory, gguf, ids, "blocks", "blocks")


def run_few(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    """Written tokens choose half as many."""
    return run_longctx(directory, gguf, ids, "blocks", "blocks:max_keys=8192")


def run_lookup(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    return run_longctx(directory, gguf, ids, guesses=True)


def run_bytes(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    """On a processor with tiles, what one without them would do."""
    import torch

    torch.cpu._init_amx = bool
    return run_longctx(directory, gguf, ids)


def run_llama(
    directory: Path, gguf: Path, ids: Sequence[int], guesses: bool = False
) -> Iterator[str | None]:
    from llama_cpp import Llama
    from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

    model = Llama(
        str(gguf),
        n_ctx=len(ids) + WRITTEN,
        n_threads=THREADS,
        n_threads_batch=THREADS,
        flash_attn=True,
        verbose=False,
        # two, as its documentation has it for a CPU
        draft_model=LlamaPromptLookupDecoding(num_pred_tokens=2) if guesses else None,
        logits_all=guesses,
    )
    yield "Q4_K_M weights, 8 bit products, KV in float16"
    if guesses:
        for _, _ in zip(range(WRITTEN), model.generate(list(ids), temp=0.0), strict=False):
            yield None
        return
    tokens = list(ids)
    for _ in range(WRITTEN):
        model.eval(tokens)
        tokens = [model.sample(temp=0.0)]
        yield None


def run_llama_lookup(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    return run_llama(directory, gguf, ids, guesses=True)


def run_transformers(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(THREADS)
    fast = torch.cpu._is_avx512_bf16_supported()
    dtype = torch.bfloat16 if fast else torch.float32
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
    yield f"{str(dtype).removeprefix('torch.')}, sdpa"
    step, cache = torch.tensor([list(ids)]), None
    with torch.inference_mode():
        for _ in range(WRITTEN):
            out = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
            yield None


def run_openvino(directory: Path, gguf: Path, ids: Sequence[int]) -> Iterator[str | None]:
    import numpy as np
    import openvino as ov
    import openvino_genai as genai

    pipeline = genai.LLMPipeline(str(as_q8_0(gguf)), "CPU", INFERENCE_NUM_THREADS=THREADS)
    yield "Q8_0 weights, KV as it chooses"
    array = np.array([ids], dtype=np.int64)
    inputs = genai.TokenizedInputs(ov.Tensor(array), ov.Tensor(np.ones_like(array)))
    written = []

    def on_token(subword: str) -> genai.StreamingStatus:
        written.append(time.perf_counter())
        return genai.StreamingStatus.RUNNING

    config = genai.GenerationConfig(max_new_tokens=WRITTEN, do_sample=False, ignore_eos=True)
    result = pipeline.generate(inputs, config)
    # its own clock: tokens come out of one call
    yield json.dumps(
        {
            "prefill_seconds": result.perf_metrics.get_ttft().mean / 1000,
            "token_seconds": result.perf_metrics.get_tpot().mean / 1000,
        }
    )


BY_NAME: dict[str, Run] = {
    "longctx-lookup": run_lookup,
    "llama.cpp-lookup": run_llama_lookup,
    "longctx-bytes": run_bytes,
    "longctx-chosen": run_chosen,
    "longctx-chosen-8192": run_few,
}
"""With words guessed from the prompt, without tiles, or chosen keys; asked only by name."""

RUNS: dict[str, Run] = {
    "longctx": run_longctx,
    "longctx-blocks": run_sparse,
    "llama.cpp": run_llama,
    "transformers": run_transformers,
    "openvino": run_openvino,
}


def as_q8_0(gguf: Path) -> Path:
    """Returns the file beside `gguf` with all its matrices in Q8_0, written if it is not there."""
    import gguf as library

    target = gguf.with_suffix(".q8_0.gguf")
    if target.exists():
        return target
    reader = library.GGUFReader(gguf)
    architecture = bytes(reader.fields["general.architecture"].parts[-1]).decode()
    writer = library.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind, *inner = field.types
            value = field.contents() if name != "general.file_type" else 7
            writer.add_key_value(name, value, kind, sub_type=inner[-1] if inner else None)
    q8 = library.GGMLQuantizationType.Q8_0
    for tensor in reader.tensors:
        data = library.dequantize(tensor.data, tensor.tensor_type)
        if data.ndim == 2 and data.shape[1] % 32 == 0:
            writer.add_tensor(tensor.name, library.quantize(data, q8), raw_dtype=q8)
        else:
            writer.add_tensor(tensor.name, data.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def child(engine: str, directory: Path, gguf: Path) -> None:
    """Run one engine on the ids on stdin, write what it took to stdout."""
    import resource

    ids = json.load(sys.stdin)
    began = time.perf_counter()
    run = (RUNS | BY_NAME)[engine](directory, gguf, ids)
    mode = next(run)
    times, own = [time.perf_counter()], None
    for told in run:
        times.append(time.perf_counter())
        own = told
    if own is not None:
        figures = json.loads(own)
        prefill, token = figures["prefill_seconds"], figures["token_seconds"]
    else:
        prefill, token = times[1] - times[0], (times[-1] - times[1]) / (len(times) - 2)
    print(
        json.dumps(
            {
                "mode": mode,
                "load_seconds": times[0] - began,
                "prefill": len(ids) / prefill,
                "decode": 1 / token,
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    )


def prompt(ids: Sequence[int], length: int, *, quoting: bool) -> list[int]:
    """Returns the first tokens, the last of them words from their middle if these are to go on."""
    if not quoting:
        return list(ids[:length])
    return [*ids[: length - 32], *ids[length // 2 : length // 2 + 32]]


def main(
    directory: str,
    gguf: str,
    text: str,
    out: str,
    lengths: str,
    repeats: str,
    peer_python: str,
    *engines: str,
) -> None:
    from longctx.runtime.bench import machine
    from longctx.runtime.tokenizer import Tokenizer

    ids = Tokenizer.load(Path(directory)).encode(Path(text).read_text())
    rows: list[dict[str, Any]] = []
    for length in map(int, lengths.split(",")):
        for turn in range(int(repeats)):
            for engine in engines or RUNS:
                python = sys.executable if engine.startswith("longctx") else peer_python
                command = [python, "-P", __file__, "--one", engine, directory, gguf]
                done = subprocess.run(
                    command,
                    input=json.dumps(prompt(ids, length, quoting="-lookup" in "".join(engines))),
                    text=True,
                    capture_output=True,
                    env={**os.environ, "OMP_NUM_THREADS": str(THREADS)},
                )
                if done.returncode:
                    last = done.stderr.strip().splitlines()[-1:]
                    rows.append({"engine": engine, "num_tokens": length, "failed": last})
                else:
                    found = json.loads(done.stdout.splitlines()[-1])
                    rows.append({"engine": engine, "num_tokens": length, "turn": turn, **found})
                print(json.dumps(rows[-1]), flush=True)
                write(Path(out), Path(directory).name, machine(), rows)


def commit() -> str:
    """Returns the commit that is measured, "-dirty" behind it if that is not all."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.check_output(command, cwd=Path(__file__).parent, text=True).strip()


def write(out: Path, model: str, machine: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write the runs, their medians and the ratios of longctx to each peer."""
    good = [row for row in rows if "failed" not in row]
    medians = [
        {
            "engine": engine,
            "num_tokens": length,
            "mode": next(row["mode"] for row in found),
            **{
                name: round(statistics.median(row[name] for row in found), 3)
                for name in ("prefill", "decode", "peak_gib", "load_seconds")
            },
        }
        for length in sorted({row["num_tokens"] for row in good})
        for engine in RUNS | BY_NAME
        if (
            found := [row for row in good if (row["engine"], row["num_tokens"]) == (engine, length)]
        )
    ]
    ours = {row["num_tokens"]: row for row in medians if row["engine"] == "longctx"}
    for row in medians:
        if mine := ours.get(row["num_tokens"]):
            row |= {
                f"longctx_to_it_{name}": round(mine[name] / row[name], 2)
                for name in ("prefill", "decode", "peak_gib")
            }
    report = {
        "model": model,
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": machine,
        "threads": THREADS,
        "medians": medians,
        "runs": rows,
    }
    out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(*sys.argv[1:])
