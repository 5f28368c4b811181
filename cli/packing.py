"""From what was read to Packs that the window holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from longctx.cli.gather import Gathered
from longctx.cli.options import SourceOptions
from longctx.ingest.errors import OverBudget
from longctx.prompts.boundary import load_key
from longctx.prompts.budget import Budget
from longctx.prompts.pack import Pack, pack


def make_packs(
    gathered: Gathered,
    sources: SourceOptions,
    *,
    root: Path,
    count: Callable[[str], int],
    budget: Budget | None,
    splits: bool,
    question: str = "",
) -> tuple[Pack, ...]:
    """One Pack where everything fits, or is trimmed to fit with --fit; else, if it splits, several.

    Raises:
        InputError: there is nothing to pack.
        OverBudget: it does not fit and may be neither trimmed nor split.
    """
    key = load_key(root / "key")
    documents, skipped = gathered.documents, gathered.skipped
    try:
        return (pack(documents, skipped, key=key, count=count, budget=budget),)
    except OverBudget:
        if budget is None or not (sources.fit or splits):
            raise
        from longctx.prompts.fit import fit, split

        if not sources.fit:
            return split(documents, skipped, key=key, count=count, budget=budget)
        trimmed = fit(
            documents,
            skipped,
            key=key,
            count=count,
            budget=budget,
            focus=sources.focus,
            question=question,
        )
        return (trimmed,)
