"""`longctx plan`: what a run would hold and take, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longctx.cli.options import Format, ModelOptions, OutputOptions, Paths, SourceOptions

if TYPE_CHECKING:
    from longctx.cli.preview import Preview
    from longctx.cli.settings import Settings
    from longctx.runtime.memory import MemoryPlan


def plan(
    sources: SourceOptions, model: ModelOptions, output: OutputOptions, paths: Paths = None
) -> int:
    """Show the tokens, memory and time of a run, and its cuts.

    Nothing is run. The time is known once this machine has run the model.

    Examples:
        longctx plan ./repo
        longctx plan ./repo --fit --window 16000 --manifest
    """
    from longctx.cli.model import open_prefixes
    from longctx.cli.output_file import check_writable, write_whole
    from longctx.cli.preview import preview
    from longctx.cli.progress import open_progress
    from longctx.cli.render import as_json
    from longctx.cli.report import packs_fields
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings

    if output.output is not None:
        check_writable(output.output)
    settings = read_settings()
    screen = Screen(settings, quiet=output.quiet, verbose=output.verbose)
    seen = preview(
        "plan",
        paths,
        sources,
        model,
        settings=settings,
        screen=screen,
        progress=open_progress(screen),
        refuses=False,
    )
    if seen.model is not None:
        seen.model.prefixes = open_prefixes(settings, model)
    facts = plan_facts(seen, settings)
    if output.format is Format.json:
        text = as_json({"schema": "longctx.plan/1", **facts, **packs_fields(seen.packs)})
    else:
        text = plan_as_text(facts, seen, manifest=output.manifest)
    if output.output is not None:
        write_whole(output.output, text)
    elif output.format is Format.json:
        screen.write_json(text)
    else:
        screen.write(text)
    return 4 if seen.over else 0


def plan_facts(seen: Preview, settings: Settings) -> dict[str, Any]:
    """What is known of the run, for JSON; None stands for what is not known."""
    from longctx.cli.speed import expected_seconds, recall

    largest = max(pack.num_tokens for pack in seen.packs)
    memory: MemoryPlan | None = None
    seconds: float | None = None
    stored = 0
    if seen.model is not None:
        stored = sum(seen.model.num_stored(pack.text) for pack in seen.packs)
        memory = seen.model.plan(largest + seen.reserved)
        readings = recall(settings.root, seen.model.speed_key)
        each = [expected_seconds(readings, pack.num_tokens) for pack in seen.packs]
        if None not in each:
            seconds = sum(item for item in each if item is not None)
            seconds *= max(0.0, 1 - stored / sum(pack.num_tokens for pack in seen.packs))
    return {
        "model": seen.name,
        "installed": seen.model is not None,
        "window": seen.window,
        "num_tokens": sum(pack.num_tokens for pack in seen.packs),
        "estimated": seen.model is None,
        "already_read": stored,
        "parts": len(seen.packs),
        "over_budget": seen.over,
        "peak_bytes": memory.peak_bytes if memory else None,
        "weights_bytes": memory.weights_bytes if memory else None,
        "cache_bytes": memory.cache_bytes if memory else None,
        "available_bytes": memory.available_bytes if memory else None,
        "reading_seconds": None if seconds is None else round(seconds, 1),
    }


def plan_as_text(facts: dict[str, Any], seen: Preview, *, manifest: bool) -> str:
    """The facts in lines, what is not known said so; then the manifest if asked for."""
    from longctx.cli.manifest_table import manifest_as_text
    from longctx.cli.models import size
    from longctx.cli.progress import duration

    about = "about " if facts["estimated"] else ""
    missing = "" if facts["installed"] else f" (not installed: longctx models pull {seen.name})"
    parts = f", in {facts['parts']} parts" if facts["parts"] > 1 else ""
    memory = "not known without the model"
    if facts["peak_bytes"] is not None:
        memory = (
            f"{size(facts['peak_bytes'])} at the peak (weights {size(facts['weights_bytes'])}, "
            f"cache {size(facts['cache_bytes'])}), {size(facts['available_bytes'])} free"
        )
    seconds = facts["reading_seconds"]
    time = "not known before the first run" if seconds is None else duration(seconds)
    already = f" ({facts['already_read']:,} tokens are read)" if facts["already_read"] else ""
    skipped = len({item.name for pack in seen.packs for item in pack.skipped})
    cuts = sum(len(pack.cuts) for pack in seen.packs)
    lines = [
        f"model     {seen.name}{missing}",
        f"window    {seen.window:,} tokens",
        f"tokens    {about}{facts['num_tokens']:,}{parts}",
        f"memory    {memory}",
        f"reading   {time}{already}",
        f"left out  {skipped} skipped, {cuts} cut",
    ]
    if facts["over_budget"]:
        lines.append(f"too much  {facts['over_budget']}")
    if manifest:
        lines += ["", *(manifest_as_text(pack) for pack in seen.packs)]
    return "\n".join(lines) + "\n"
