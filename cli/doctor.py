"""`longctx doctor`: what this machine has, and what longctx makes of it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from longctx.cli.options import Format, Verbose


def doctor(
    form: Annotated[Format, typer.Option("--format", help="Form of the result.")] = Format.text,
    verbose: Verbose = False,
) -> int:
    """Show what this machine has, and what longctx makes of it."""
    from longctx.cli.model import model_name
    from longctx.cli.options import ModelOptions
    from longctx.cli.render import as_json
    from longctx.cli.screen import Screen
    from longctx.cli.settings import read_settings

    settings = read_settings()
    screen = Screen(settings, verbose=verbose)
    facts = machine_facts()
    from longctx.runtime.store import installed

    facts["store"] = str(settings.root)
    facts["models"] = ", ".join(files.name for files in installed(settings.root)) or "none"
    facts["default model"] = model_name(ModelOptions(), settings)
    if form is Format.json:
        screen.write_json(as_json({"schema": "longctx.doctor/1", **facts}))
        return 0
    mark, rule = ("- ", ": ") if form is Format.md else ("", "  ")
    width = 0 if form is Format.md else max(map(len, facts))
    screen.write("".join(f"{mark}{name:<{width}}{rule}{fact}\n" for name, fact in facts.items()))
    return 0


def machine_facts() -> dict[str, str]:
    """What matters for speed, in words."""
    import platform
    from importlib.metadata import version

    import torch

    from longctx.runtime.accelerator import gpu_facts
    from longctx.runtime.memory import available_bytes, gib
    from longctx.runtime.numerics import choose_numerics

    numerics = choose_numerics("auto")
    return {
        "longctx": version("longctx-cli"),
        "python": f"{platform.python_version()} on {sys.platform} {platform.machine()}",
        "torch": str(torch.__version__),
        "threads": str(torch.get_num_threads()),
        "vector width": torch.backends.cpu.get_cpu_capability(),
        "numerics": f"{numerics.name}: {numerics.reason}",
        "memory free": gib(available_bytes()),
        "gpu": gpu_facts(),
    }
