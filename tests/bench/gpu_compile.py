"""Compiles every kernel for GPUs that need not be there, and prints what each takes of them.

Run: python -P tests/bench/gpu_compile.py [--all] [CAPABILITY ...]

A capability is written 80 or 90, both unless given. With --all every configuration that a launch
would be tuned over is compiled, else the first. The interpreter shows that a kernel computes the
right thing; this shows that a compiler takes it, with the matrix instructions and copies in it that
make it fast, and no more registers than there are.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.eight_bits import make_eight
from longctx.kernels.flash import TILE
from longctx.kernels.library_attention import turned_queries
from longctx.kernels.triton_attention import attend, num_tiles
from longctx.kernels.triton_fp8 import quantize
from longctx.kernels.triton_gather import gather_blocks
from longctx.kernels.triton_layer import rms_norm, store, swiglu
from longctx.kernels.triton_selection import choose_for_one, choose_lists, lists_of, write_means
from longctx.kernels.triton_tuning import Tuned
from longctx.kernels.triton_vertical_slash import attend_lines
from longctx.kernels.turns import make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.device_reader import ANSWER_ROWS, EIGHT_QUERIES

TYPES = {
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.int32: "*i32",
    torch.int8: "*i8",
    torch.float8_e4m3fn: "*fp8e4nv",
}
NUMBERS = DualChunk(512, 128, 512)


def compiled(kernel: JITFunction, values: dict, options: dict, capability: int) -> dict:
    """Compiles a launch with these arguments; returns what the program takes."""
    constants, signature, attributes = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = values[parameter.name]
        if parameter.is_constexpr:
            signature[parameter.name] = "constexpr"
            constants[parameter.name] = value
            continue
        if isinstance(value, torch.Tensor):
            signature[parameter.name] = TYPES[value.dtype]
        else:
            signature[parameter.name] = "fp32" if isinstance(value, float) else "i32"
        if isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, attributes)
    binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    text = Counter(
        re.findall(
            r"cp\.async\.bulk\.tensor|wgmma\.mma_async|mma\.sync|cp\.async\.cg", binary.asm["ptx"]
        )
    )
    return {
        "capability": capability,
        "kernel": kernel.__name__,
        **{name: constants[name] for name in ("ROWS", "KEYS", "HALF", "EIGHT") if name in values},
        **options,
        "shared_bytes": binary.metadata.shared,
        **resources(binary.asm["cubin"]),
        **text,
    }


def resources(cubin: bytes) -> dict:
    """Returns the registers of a thread and the bytes of its stack: what they could not hold."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool, "--dump-resource-usage", file.name]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    return {"registers": int(found[1]), "stack_bytes": int(found[2])}


@contextmanager
def compiling(capability: int, every: bool) -> Iterator[list[dict]]:
    """While it lasts, launches are compiled instead, and what they take is listed."""
    found: list[dict] = []
    run, call = JITFunction.run, Tuned.__call__

    def compile_only(kernel, *args, grid, warmup, **given):
        values = {**dict(zip(kernel.arg_names, args, strict=False)), **given}
        options = {name: given[name] for name in ("num_warps", "num_stages") if name in given}
        found.append(compiled(kernel, values, options, capability))
        print(json.dumps(found[-1]), flush=True)

    def compile_each(tuned, grid, **args):
        configs = [one for one in tuned.configs if tuned.fits(one.kwargs, args)]
        for config in configs if every else configs[:1]:
            sizes = {"num_warps": config.num_warps, "num_stages": config.num_stages}
            tuned.kernel.run(grid=grid, warmup=False, **args, **config.kwargs, **sizes)

    JITFunction.run, Tuned.__call__ = compile_only, compile_each
    try:
        yield found
    finally:
        JITFunction.run, Tuned.__call__ = run, call


def launch_all(num_heads: int, num_groups: int, head_dim: int) -> None:
    """Launches every kernel once, in the dtypes of the GPU path."""

    def bf16(*shape):
        return torch.zeros(shape, dtype=torch.bfloat16)

    keys, values = bf16(num_groups, 2048, head_dim), bf16(num_groups, 2048, head_dim)
    frequencies = torch.ones(head_dim // 2)
    means = torch.zeros(num_groups, 32, head_dim)
    rows = bf16(TILE, num_heads + 2 * num_groups, head_dim)
    q, k, v = rows.split([num_heads, num_groups, num_groups], 1)
    turns = make_turns(NUMBERS, frequencies, 1024, TILE)
    write_means(keys, means, 0, 1024)
    store(k, v, keys, values, turns)
    lists = choose_lists(q, means, turns, BlockRule())
    group = num_heads // num_groups
    lists_of(torch.zeros(num_groups, num_tiles(TILE), group, 15_625), turns, BlockRule())
    attend(q, keys, values, turns)
    attend(q, keys, values, turns, lists)
    turned_queries(q, turns, 0, 0, TILE)
    by_lines = VerticalSlashRule(dense_below=0)
    attend_lines(q, keys, values, turns, by_lines, 0, grid=TILE)
    codes = torch.zeros(2, num_groups, 2048, head_dim, dtype=torch.int8)
    eight = make_eight(torch.zeros(num_groups, head_dim), 2048, frequencies, NUMBERS)
    store(k, v, *codes, turns, eight)
    write_means(codes[0], means, 0, 1024, eight)
    attend(q, *codes, turns, lists, eight=eight)
    attend_lines(q, *codes, turns, by_lines, 0, grid=TILE, eight=eight)
    one = make_turns(NUMBERS, frequencies, 1024, 1)
    chosen = choose_for_one(q[:1], means, one, BlockRule())
    gather_blocks(keys, values, keys[:, :1024], values[:, :1024], chosen)
    attend(q[:1], keys, values, one, splits=64)
    attend(q[:1], *codes, one, splits=64, eight=eight)
    several = make_turns(NUMBERS, frequencies, 1024, ANSWER_ROWS)
    attend(q[:ANSWER_ROWS], keys, values, several, splits=16)
    few = make_turns(NUMBERS, frequencies, 1024, EIGHT_QUERIES // group)
    attend(q[: few.num_tokens], *codes, few, splits=16, eight=eight)
    x = bf16(2, 3584)
    rms_norm(x, x[0], 1e-6, x)
    swiglu(bf16(2, 2 * 18_944))
    quantize(bf16(2, 18_944))


def main(*words: str) -> None:
    for capability in [int(word) for word in words if word != "--all"] or [80, 90]:
        with compiling(capability, "--all" in words):
            launch_all(28, 4, 128)
            if "--all" in words:
                launch_all(14, 2, 64)


if __name__ == "__main__":
    main(*sys.argv[1:])
