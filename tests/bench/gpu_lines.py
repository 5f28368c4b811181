"""Times of the mode `vertical-slash` by itself on a GPU, for one layer."""

import torch
from gpu_distance import DTYPE
from gpu_timing import median, seconds

from longctx.kernels import triton_vertical_slash
from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_lines import Lines, choose_lines, estimate
from longctx.kernels.triton_vertical_slash import GRID, attend_kept
from longctx.kernels.turns import Turns, make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import ModelConfig
from longctx.runtime.device_reader import DeviceReader

# Diagonals side by side, as real heads have them.
BAND = 100


def lines_alone(config: ModelConfig, length: int, ceiling: float) -> list[dict]:
    """Returns what each part of the mode takes for the last whole piece before this length.

    Columns and diagonals are as many as are published. What random weights choose means nothing:
    their diagonals scatter and cross most Blocks. So diagonals in bands and the nearest ones take
    their place too, and the density stands beside each.
    """
    dim, rule = config.head_dim, VerticalSlashRule()
    tokens = GRID if length >= GRID else TILE
    start = length // tokens * tokens - tokens
    reach = DualChunk(*config.dual_chunk, trained=config.native_window)
    q = torch.randn(tokens, config.num_heads, dim, dtype=DTYPE)
    keys, values = torch.randn(2, config.num_kv_heads, length, dim, dtype=DTYPE)
    turns = make_turns(reach, torch.zeros(dim // 2), start, tokens)
    whole = config.num_heads * (tokens * start + tokens * (tokens + 1) / 2)
    columns, diagonals = estimate(q, keys, turns, rule.last_queries)
    rows = [
        {"form": form, "length": length, "rows": tokens, "seconds": median(run, 3)}
        for form, run in {
            "estimate": lambda: estimate(q, keys, turns, rule.last_queries),
            "choose": lambda: choose_lines(columns, diagonals, turns, rule, 0),
        }.items()
    ]
    for form, weights in {"as chosen": diagonals, **_slashes(diagonals, rule.slash)}.items():
        lines = choose_lines(columns, weights, turns, rule, 0)
        took = median(lambda lines=lines: attend_kept(q, keys, values, turns, lines), 3)
        pairs = attended(lines, turns)
        flops = 4 * dim * pairs
        rows.append({"form": form, "length": length, "rows": tokens, "seconds": took,
                     "density": pairs / whole, "keys_a_row": pairs / tokens / config.num_heads,
                     "flops": flops / took, "of_ceiling": flops / took / ceiling})  # fmt: skip
    return rows


def prefill_by_lines(reader: DeviceReader, length: int) -> list[dict]:
    """Returns seconds and density of every piece of a prefill to `length` by this mode.

    What random weights choose is computed for its cost, and diagonals in bands take its place.
    """
    real, rule, kept = triton_vertical_slash.choose_lines, VerticalSlashRule(), []

    def banded(columns, diagonals, turns, rule, layer):
        lines = real(columns, _bands(diagonals), turns, rule, layer)
        kept[:] = [(lines, turns)]
        return lines

    rows, ids, grid = [], torch.randint(0, 1000, (length,)), reader.grid
    reader.truncate(0)
    reader.grid = GRID
    triton_vertical_slash.choose_lines = banded
    try:
        for start in range(0, length, GRID):
            end = min(start + GRID, length)
            turns = reader._turns(start, end - start)

            def read(start=start, end=end, turns=turns):
                reader.piece(ids[start:end], turns, rule)
                reader._finish(start, end)

            took, density = seconds(read), 1.0
            if kept:
                lines, own = kept.pop()
                whole = reader.config.num_heads * GRID * (start + (GRID + 1) / 2)
                density = attended(lines, own) / whole
            rows.append({"end": end, "seconds": took, "density": density})
    finally:
        triton_vertical_slash.choose_lines, reader.grid = real, grid
    return rows


def _bands(diagonals: torch.Tensor) -> torch.Tensor:
    """Returns weights [H, S] under which the heaviest diagonals lie in bands."""
    num_heads, end = diagonals.shape
    bands = torch.rand(num_heads, -(-end // BAND)).repeat_interleave(BAND, 1)
    return bands[:, :end].contiguous()


def _slashes(diagonals: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
    """Returns weights [H, S] under which the heaviest `count` diagonals lie in bands, or near."""
    num_heads, end = diagonals.shape
    near = -torch.arange(end, dtype=torch.float32).expand(num_heads, end)
    return {f"bands of {BAND}": _bands(diagonals), f"nearest {count}": near.contiguous()}


def attended(lines: Lines, turns: Turns) -> float:
    """Returns how many pairs of a row and a key all heads attend to, those of the tiles' own."""
    start, tokens = turns.borders[2], turns.num_tokens
    firsts = torch.arange(start, start + tokens, TILE)
    blocks = lines.farther[:, :1] - lines.farther[:, firsts // BLOCK]
    away = (firsts // BLOCK)[:, None] - lines.columns[:, None] // BLOCK
    earlier = lines.columns[:, None] < firsts[:, None]
    farther = lines.farther[:, None].expand(-1, len(firsts), -1)
    counts = [farther.gather(2, (away - less).clamp(min=0).long()) for less in (0, 1)]
    columns = (earlier & (counts[0] == counts[1])).sum(-1)
    own = len(lines.back) * tokens * (TILE + 1) / 2
    return float(((blocks * BLOCK + columns) * TILE).sum() + own)
