"""Times of a GPU: its ceilings, and attention by itself beside torch's."""

import time
from collections.abc import Callable

import torch
from gpu_distance import DTYPE
from torch.nn.attention.bias import causal_lower_right

from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.flash import TILE
from longctx.kernels.library_attention import attend_densely, has_library
from longctx.kernels.triton_attention import attend
from longctx.kernels.triton_fp8 import has_fp8_products, quantize
from longctx.kernels.turns import make_turns
from longctx.runtime import device_reader
from longctx.runtime.config import ModelConfig


def seconds(run: Callable[[], object]) -> float:
    """Returns what one run takes on the device."""
    if not torch.cuda.is_available():
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def median(run: Callable[[], object], repeats: int = 5) -> float:
    run()
    return sorted(seconds(run) for _ in range(repeats))[repeats // 2]


def ceilings(size: int) -> dict[str, float]:
    """Returns the FLOP/s of large products and the bytes/s of a large copy."""
    a, b = (torch.randn(size, size, dtype=DTYPE) for _ in range(2))
    found = {"bf16_flops": 2 * size**3 / median(lambda: a @ b)}
    rows, weight = quantize(a), quantize(b)
    if has_fp8_products(a.device):
        product = median(
            lambda: torch._scaled_mm(
                rows.codes,
                weight.codes.t(),
                scale_a=rows.scales[:, None],
                scale_b=weight.scales[None],
                out_dtype=DTYPE,
            )
        )
        found["fp8_flops"] = 2 * size**3 / product
    source = torch.randn(size * size * 32, dtype=DTYPE)
    target = torch.empty_like(source)
    found["bytes"] = 2 * 2 * source.numel() / median(lambda: target.copy_(source))
    return found


def attention_alone(config: ModelConfig, length: int, ceiling: float) -> list[dict]:
    """Returns the speed of dense attention of the last Step at this length, in every form."""
    tokens, dim = min(device_reader.STEP_SIZE, length), config.head_dim
    start = (length - tokens) // TILE * TILE
    reach = DualChunk(*config.dual_chunk, trained=config.native_window)
    start = max(start, (length - 1) // reach.stride * reach.stride)
    tokens = length - start
    q = torch.randn(tokens, config.num_heads, dim, dtype=DTYPE)
    keys, values = torch.randn(2, config.num_kv_heads, length, dim, dtype=DTYPE)
    turns = make_turns(reach, torch.zeros(dim // 2), start, tokens)
    flops = 4 * config.num_heads * dim * (tokens * start + tokens * tokens / 2)
    bias = causal_lower_right(tokens, length)
    theirs = [x[None] for x in (q.transpose(0, 1).contiguous(), keys, values)]
    forms = {
        "ours": lambda: attend(q, keys, values, turns),
        "cuDNN, range by range": lambda: attend_densely(q, keys, values, turns),
        "torch": lambda: torch.nn.functional.scaled_dot_product_attention(
            *theirs, attn_mask=bias, enable_gqa=True
        ),
    }
    rows = []
    for name, form in forms.items():
        if "cuDNN" in name and not has_library(q, keys):
            continue
        try:
            first, took = seconds(form), median(form, 3)
        except RuntimeError as error:
            rows.append({"form": name, "length": length, "error": str(error)})
            continue
        rows.append({"form": name, "length": length, "rows": tokens, "first_seconds": first,
                     "seconds": took, "flops": flops / took,
                     "of_ceiling": flops / took / ceiling})  # fmt: skip
    return rows
