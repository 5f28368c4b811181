"""What `longctx bench` measured, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longctx.cli.failure import UsageFault


def table(report: dict[str, Any], *, markdown: bool) -> str:
    """The report as lines of columns."""
    about = report["machine"]
    heads = ["tokens", "numerics", "threads", report["unit"], "least", "most"]
    lines = [
        [
            f"{item['num_tokens']:,}",
            item["numerics"],
            str(item["threads"]),
            f"{item['median']:,.2f}",
            f"{min(item['figures']):,.2f}",
            f"{max(item['figures']):,.2f}",
        ]
        for item in report["rows"]
    ]
    if predicted := [item for item in report["rows"] if "predicted" in item]:
        heads.append("predicted")
        lines = [
            [*line, f"{item['predicted']:,.2f}"]
            for line, item in zip(lines, predicted, strict=True)
        ]
    title = (
        f"{report['what']}, {report['model']}, {about['processor']}, {about['cores']} cores, "
        f"{about['vectors']}, torch {about['torch']}"
    )
    if markdown:
        rows = [heads, ["---"] * len(heads), *lines]
        return f"{title}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return f"{title}\n" + "".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)) + "\n"
        for cells in [heads, *lines]
    )


def draw(report: dict[str, Any], path: Path) -> None:
    """Leave a PNG with a line for each number format and number of threads.

    Raises:
        UsageFault: matplotlib is not installed.
    """
    canvas = new_figure()
    axes = canvas.subplots()
    kinds = dict.fromkeys((item["numerics"], item["threads"]) for item in report["rows"])
    for numerics, threads in kinds:
        points = [
            (item["num_tokens"], item["median"])
            for item in report["rows"]
            if (item["numerics"], item["threads"]) == (numerics, threads)
        ]
        axes.plot(*zip(*points, strict=True), marker="o", label=f"{numerics}, {threads} threads")
    axes.set(xscale="log", xlabel="prompt, tokens", ylabel=report["unit"], ylim=(0, None))
    axes.set_title(f"{report['what']}, {report['model']}, {report['machine']['processor']}")
    axes.legend()
    canvas.savefig(path, dpi=150)


def new_figure() -> Any:
    """An empty picture.

    Raises:
        UsageFault: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageFault(
            "--plot needs matplotlib, which is not installed", "pip install matplotlib"
        ) from error
    return Figure(figsize=(7, 4), layout="constrained")
