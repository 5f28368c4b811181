"""Every kernel against its reference, on a GPU in bfloat16; without one in Triton's interpreter.

Run: python -P tests/bench/gpu_checks.py [--small]

Without a GPU set TRITON_INTERPRET=1, and be patient or say --small. It ends with an error where a
kernel computes something else than its reference.
"""

import itertools
import json
import sys

import torch
from gpu_distance import DTYPE, distance
from gpu_readers import check_host, check_replay, check_rows, check_store

from longctx.kernels import reference, reference_modes
from longctx.kernels.blocks import BlockRule, block_means, choose_blocks
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.eight_bits import Eight, make_eight, restored
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.library_attention import attend_densely
from longctx.kernels.rope import angles, inverse_frequencies, rotate
from longctx.kernels.triton_attention import LOG2_E, attend
from longctx.kernels.triton_fp8 import project8, quantize, reference_project8
from longctx.kernels.triton_layer import rms_norm, store, swiglu
from longctx.kernels.triton_lines import Lines, choose_lines, estimate
from longctx.kernels.triton_selection import lists_of, predicted_scores, write_means
from longctx.kernels.triton_vertical_slash import attend_kept
from longctx.kernels.turns import Turns, make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule

# What bfloat16 may cost: products of rounded numbers, summed in float32.
ERROR = 1e-2
# First row, rows and splits: the ends of Chunks, all three ranges, decoding.
RUNS = [(0, 300, 1), (384, 384, 1), (900, 130, 1), (1300, 1, 16), (1100, 16, 9)]


def all_errors(*, small: bool) -> dict[str, dict[str, float]]:
    """Returns the distance of every kernel from its reference, as a share of the reference.

    Memory that nobody wrote is NaN meanwhile, and so is a distance that has seen any.
    """
    runs = RUNS[1:4:2] if small else RUNS
    sizes = ((6, 2, 64), (2, 2, 32)) if small else ((28, 4, 128), (14, 2, 64))
    torch.use_deterministic_algorithms(True, warn_only=True)
    errors = {"layer": check_layer(), "replay": {"graph": check_replay()}}
    errors["host"] = {"prompt and answer": check_host()}
    errors["rows"] = {"of an answer": check_rows()}
    errors["store"] = {"from the disk": check_store()}
    for heads, groups, dim in sizes:
        errors[f"attention, head size {dim}"] = attention_errors(heads, groups, dim, runs)
        errors[f"lists, head size {dim}"] = check_lists(heads, groups, dim)
        errors[f"lines, head size {dim}"] = check_lines(heads, groups, dim)
    torch.use_deterministic_algorithms(False)
    return errors


def too_far(errors: dict[str, dict[str, float]]) -> list[str]:
    """Returns in words which kernels compute something else."""
    return [
        f"{kind}, {name}: {error}"
        for kind, found in errors.items()
        for name, error in found.items()
        if not error < ERROR
    ]


def attention_errors(heads: int, groups: int, dim: int, runs) -> dict[str, float]:
    """Returns how far attention in bfloat16 lies from the references, over all three ranges."""
    numbers, found = DualChunk(448, 64, 300), {}
    frequencies = inverse_frequencies(dim, 1e6, {})
    for start, tokens, splits in runs:
        q = torch.randn(tokens, heads, dim, dtype=DTYPE)
        keys, values = torch.randn(2, groups, start + tokens, dim, dtype=DTYPE)
        expected = reference.dual_chunk_attention(
            q.transpose(0, 1), keys, values, frequencies, numbers
        ).transpose(0, 1)
        positions = numbers.key_positions(torch.arange(start + tokens))
        turn = angles(frequencies, positions)
        if splits > 1:
            found[f"{start}+{tokens}/{splits} in 8 bits"] = eight_error(
                numbers, frequencies, start, q, keys, values, splits
            )
        cached = rotate(keys.float().transpose(0, 1), *turn).transpose(0, 1).to(keys.dtype)
        turns = make_turns(numbers, frequencies, start, tokens)
        got, _ = attend(q, cached.contiguous(), values, turns, splits=splits)
        found[f"{start}+{tokens}/{splits}"] = distance(got, expected)
        got = attend_densely(q, cached.contiguous(), values, turns)
        found[f"{start}+{tokens}, the library's"] = distance(got, expected)
    return found


def eight_error(numbers, frequencies, start, q, keys, values, splits) -> float:
    """Returns how far attention to keys and values in 8 bits lies from that to what they mean."""
    tokens = q.shape[0]
    codes, eight = coded(numbers, frequencies, keys, values)
    turns = make_turns(numbers, frequencies, start, tokens)
    got, _ = attend(q, *codes, turns, splits=splits, eight=eight)
    whole = restored(*codes, eight)
    if tokens * q.shape[1] // keys.shape[0] >= 64:
        # here the bias is added to keys of 16 bits, and is rounded with them
        whole = [x.contiguous().to(DTYPE) for x in whole]
        return distance(got, attend(q, *whole, turns, splits=splits)[0])
    whole = [x[:, : start + tokens] for x in whole]
    cos, sin = angles(frequencies, numbers.key_positions(torch.arange(start + tokens)))
    unturned = rotate(whole[0].transpose(0, 1), cos, -sin).transpose(0, 1)
    expected = reference.dual_chunk_attention(
        q.transpose(0, 1).float(), unturned, whole[1], frequencies, numbers
    )
    return distance(got, expected.transpose(0, 1))


def coded(reach, frequencies, keys, values) -> tuple[torch.Tensor, Eight]:
    """Returns keys, not turned yet, and values as a KVCache of 8 bits keeps them."""
    groups, num_keys, dim = keys.shape
    room = -(-num_keys // BLOCK) * BLOCK
    eight = make_eight(50 * torch.randn(groups, dim), room, frequencies, reach)
    codes = torch.zeros(2, groups, room, dim, dtype=torch.int8)
    for begin in range(0, num_keys, TILE):
        end = min(begin + TILE, num_keys)
        k, v = (x[:, begin:end].transpose(0, 1).contiguous() for x in (keys, values))
        store(k, v, *codes, make_turns(reach, frequencies, begin, end - begin), eight)
    return codes, eight


def check_lists(heads: int, groups: int, dim: int) -> dict[str, float]:
    """Returns how many Blocks are chosen otherwise than by a sort, and the error of attention."""
    start, tokens, rule = 12 * TILE, 2 * TILE, BlockRule(1_024, 0.9, 1, 2, dense_below=0)
    q = torch.randn(tokens, heads, dim, dtype=DTYPE)
    keys, values = torch.randn(2, groups, start + tokens, dim, dtype=DTYPE)
    means = torch.empty(groups, keys.shape[1] // BLOCK, dim)
    write_means(keys, means, 0, keys.shape[1])
    still = torch.zeros(dim // 2)
    turns = make_turns(Plain(), still, start, tokens)
    scores = predicted_scores(q, means, turns)
    lists = lists_of(scores, turns, rule)
    seen = torch.zeros(groups, tokens, keys.shape[1], dtype=torch.bool)
    wrong = 0
    for tile in range(2):
        past = (start + tile * TILE) // BLOCK
        mass = scores[:, tile, :, :past].softmax(-1).mean(1)
        expected = choose_blocks(mass.cpu(), rule).to(mass.device)
        got = torch.zeros_like(expected)
        for group in range(groups):
            got[group, lists.index[tile, group, : lists.ends[tile, group, 2]].long()] = True
        wrong += int((got ^ expected).sum())
        rows = slice(tile * TILE, (tile + 1) * TILE)
        seen[:, rows, : past * BLOCK] = got.repeat_interleave(BLOCK, 1)[:, None]
        seen[:, rows, past * BLOCK :] = True
    got, _ = attend(q, keys, values, turns, lists)
    expected = reference.chosen_attention(q.transpose(0, 1), keys, values, seen).transpose(0, 1)
    return {
        "means": distance(means, block_means(keys)),
        "blocks_chosen_otherwise": wrong / (tokens // TILE * groups * past),
        "lists": distance(got, expected),
    }


def check_lines(heads: int, groups: int, dim: int) -> dict[str, float]:
    """Returns the errors of the sums, the share of pairs chosen otherwise, that of attention."""
    start, tokens, reach = 3 * 384, 2 * TILE, DualChunk(448, 64, 300)
    quotas = [[(40 + 9 * head, 4 * (head % 5)) for head in range(heads)]]
    rule = VerticalSlashRule(sinks=3, window=9, dense_below=0, quotas=quotas)
    q = torch.randn(tokens, heads, dim, dtype=DTYPE)
    keys, values = torch.randn(2, groups, start + tokens, dim, dtype=DTYPE)
    frequencies = inverse_frequencies(dim, 1e6, {})
    turns = make_turns(reach, frequencies, start, tokens)
    scores = scores_of(q, keys, turns)
    positions = torch.arange(start + tokens)
    later = positions > positions[-rule.last_queries :, None]
    weights = scores[:, -rule.last_queries :].masked_fill(later, float("-inf")).softmax(-1)
    columns, diagonals = estimate(q, keys, turns, rule.last_queries)
    slashes = torch.zeros_like(diagonals)
    for row in range(rule.last_queries):
        at = start + tokens - rule.last_queries + row
        slashes[:, : at + 1] += weights[:, row, : at + 1].flip(-1)
    found = {"columns": distance(columns, weights.sum(1)), "slashes": distance(diagonals, slashes)}
    lines = choose_lines(columns, diagonals, turns, rule, 0)
    got, wanted = seen_by(lines, turns), reference_modes.vertical_slash(scores, 0, rule)
    found["pairs_chosen_otherwise"] = float((got ^ wanted).sum() / wanted.sum())
    expected = reference.attention_of_scores(scores, values, got).transpose(0, 1)
    found["lines"] = distance(attend_kept(q, keys, values, turns, lines), expected)
    codes, eight = coded(reach, frequencies, keys, values)
    whole = [x.contiguous().to(DTYPE) for x in restored(*codes, eight)]
    sums = estimate(q, codes[0], turns, rule.last_queries, eight)
    exact = estimate(q, whole[0], turns, rule.last_queries)
    expected = attend_kept(q, *whole, turns, lines)
    found["columns in 8 bits"], found["slashes in 8 bits"] = map(distance, sums, exact)
    found["lines in 8 bits"] = distance(attend_kept(q, *codes, turns, lines, eight), expected)
    return found


def scores_of(q: torch.Tensor, keys: torch.Tensor, turns: Turns) -> torch.Tensor:
    """Returns the scores [H, T, S] of queries that are rounded as the kernels round them."""
    dim, group, begin = q.shape[2], q.shape[1] // keys.shape[0], 0
    parts = []
    for part, end in enumerate((*turns.borders[:2], keys.shape[1])):
        turned = rotate(q.float(), turns.cos[part], turns.sin[part]) * (LOG2_E * dim**-0.5)
        run = keys[:, begin:end].float().repeat_interleave(group, 0)
        parts.append(turned.to(DTYPE).float().transpose(0, 1) @ run.transpose(1, 2) / LOG2_E)
        begin = end
    return torch.cat(parts, -1)


def seen_by(lines: Lines, turns: Turns) -> torch.Tensor:
    """Returns what the rows of whole tiles see, bool [H, T, S]."""
    start, tokens = turns.borders[2], turns.num_tokens
    seen = torch.zeros(len(lines.back), tokens, start + tokens, dtype=torch.bool)
    for head, tile in itertools.product(range(len(seen)), range(tokens // TILE)):
        first = start + tile * TILE
        rows = seen[head, tile * TILE : (tile + 1) * TILE]
        columns = lines.columns[head, : lines.column_ends[head, 2]].long()
        rows[:, columns[columns < first]] = True
        for back in lines.back[head, : lines.farther[head, 0]].tolist():
            block = first // BLOCK - back
            if block >= 0:
                rows[:, block * BLOCK : (block + 1) * BLOCK] = True
        rows[:, first:] = True
    return seen


def check_layer() -> dict[str, float]:
    """Returns how far the small kernels lie from their references."""
    x, added = torch.randn(2, 30, 3584, dtype=DTYPE)
    weight = torch.randn(3584, dtype=DTYPE)
    kept = (x + added).float()
    normed = rms_norm(x, weight, 1e-5, added)
    gate_up = torch.randn(7, 2 * 18_944, dtype=DTYPE)
    k, v = torch.randn(2, 200, 4, 128, dtype=DTYPE)
    keys, values = torch.zeros(2, 4, 500, 128, dtype=DTYPE)
    frequencies = inverse_frequencies(128, 1e7, {})
    store(k, v, keys, values, make_turns(Plain(), frequencies, 250, 200))
    turned = reference.rope(k, *angles(frequencies, torch.arange(250, 450)))
    matrix, bias = torch.randn(512, 3584, dtype=DTYPE), torch.randn(512, dtype=DTYPE)
    return {
        "rms_norm": distance(normed, reference.rms_norm(kept, weight, 1e-5)),
        "swiglu": distance(swiglu(gate_up), reference.swiglu(*gate_up.chunk(2, -1))),
        "keys": distance(keys[:, 250:450], turned.transpose(0, 1)),
        "values": distance(values[:, 250:450], v.transpose(0, 1)),
        "fp8": distance(
            project8(x, quantize(matrix), bias),
            reference_project8(quantize(x), quantize(matrix), bias),
        ),
    }


def main(*words: str) -> None:
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    with torch.inference_mode():
        errors = all_errors(small="--small" in words)
    print(json.dumps(errors, indent=2))
    if wrong := too_far(errors):
        raise SystemExit("kernels that compute something else:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
