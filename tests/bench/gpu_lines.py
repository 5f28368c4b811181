"""Times of the mode `vertical-slash` by itself on a GPU, for one layer."""

import torch
from gpu_checks import DTYPE
from gpu_timing import median

from longctx.kernels.dual_chunk import DualChunk
from longctx.kernels.flash import BLOCK, TILE
from longctx.kernels.triton_lines import Lines, choose_lines, estimate
from longctx.kernels.triton_vertical_slash import GRID, attend_kept
from longctx.kernels.turns import Turns, make_turns
from longctx.kernels.vertical_slash import VerticalSlashRule
from longctx.runtime.config import ModelConfig

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


def _slashes(diagonals: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
    """Returns weights [H, S] under which the heaviest `count` diagonals lie in bands, or near."""
    num_heads, end = diagonals.shape
    bands = torch.rand(num_heads, -(-end // BAND)).repeat_interleave(BAND, 1)[:, :end]
    near = -torch.arange(end, dtype=torch.float32).expand(num_heads, end)
    return {f"bands of {BAND}": bands.contiguous(), f"nearest {count}": near.contiguous()}


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
