"""`longctx pack`: the prompt itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longctx.cli.options import Format, ModelOptions, OutputOptions, Paths, SourceOptions

if TYPE_CHECKING:
    from longctx.prompts.pack import Pack as Packed


def pack(
    sources: SourceOptions, model: ModelOptions, output: OutputOptions, paths: Paths = None
) -> int:
    """Print the prompt that the other commands read.

    No model is loaded; without one on this machine, tokens are estimates.

    Examples:
        longctx pack ./repo -o prompt.txt
        longctx pack ./repo --manifest
    """
    from longctx.cli.manifest_table import manifest_as_text
    from longctx.cli.output_file import check_writable, write_whole
    from longctx.cli.preview import preview
    from longctx.cli.progress import open_progress
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings

    if output.output is not None:
        check_writable(output.output)
    settings = read_settings()
    screen = Screen(settings, quiet=output.quiet, verbose=output.verbose)
    seen = preview(
        "pack",
        paths,
        sources,
        model,
        settings=settings,
        screen=screen,
        progress=open_progress(screen),
        refuses=True,
    )
    if output.format is Format.json:
        from longctx.cli.render import as_json
        from longctx.cli.report import packs_fields

        text = as_json(
            {
                "schema": "longctx.pack/1",
                "model": seen.name,
                "window": seen.window,
                "estimated": seen.model is None,
                "packs": [pack_fields(pack) for pack in seen.packs],
                **packs_fields(seen.packs),
            }
        )
    elif output.manifest:
        text = "".join(f"{manifest_as_text(pack)}\n" for pack in seen.packs)
    else:
        text = "".join(pack.text for pack in seen.packs)
    if output.output is not None:
        write_whole(output.output, text)
    elif output.format is Format.json:
        screen.write_json(text)
    else:
        screen.write(text)
    return 0


def pack_fields(pack: Packed) -> dict[str, Any]:
    """The fields of one prompt for JSON: its text, and where each stretch of it comes from."""
    from longctx.cli.render import span_fields

    return {
        "num_tokens": pack.num_tokens,
        "text": pack.text,
        "spans": [
            {
                "text_start": run.start,
                "text_end": run.end,
                **span_fields(
                    pack.parts[run.part].document.span(run.offset, run.offset + run.end - run.start)
                ),
            }
            for run in pack.runs
        ],
    }
