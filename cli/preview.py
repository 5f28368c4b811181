"""What `pack` and `plan` share: Packs counted exactly, or by estimate where no model is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longctx.cli.gather import gather
from longctx.cli.model import Model, model_name, open_model
from longctx.cli.options import ModelOptions, SourceOptions
from longctx.cli.packing import make_packs
from longctx.cli.progress import Progress
from longctx.cli.screen import Screen
from longctx.cli.settings import Settings
from longctx.ingest.errors import OverBudget
from longctx.prompts.budget import Budget, estimate
from longctx.runtime.errors import ModelError

if TYPE_CHECKING:
    from longctx.prompts.pack import Pack

# Where no model says how much it holds.
USUAL_WINDOW = 32_768


@dataclass(frozen=True, slots=True)
class Preview:
    """The Packs of a run that was not run; `model` is None where it is not on this machine.

    `over` is why the Packs would not be read as they are, "" where they would.
    """

    packs: tuple[Pack, ...]
    name: str
    model: Model | None
    window: int
    reserved: int
    over: str = ""


def preview(
    command: str,
    paths: Sequence[str] | None,
    sources: SourceOptions,
    options: ModelOptions,
    *,
    settings: Settings,
    screen: Screen,
    progress: Progress,
    refuses: bool,
) -> Preview:
    """The Packs at the paths; over the window they are refused, or shown whole if not `refuses`.

    Raises:
        InputError: there is nothing to read, or it does not fit and `refuses`.
    """
    name = model_name(options, settings)
    gathered = gather(command, paths, sources)
    model: Model | None = None
    try:
        model = open_model(settings.root, name, options, sources.window, progress)
    except ModelError as error:
        screen.note(f"token counts are estimates: {error} ({error.hint})")
    window = model.window if model else _window(name, sources.window)
    if refuses and sources.window:
        # a printed prompt may be for a model with a larger window than the one named here
        window = sources.window
    reserved = (model.overhead if model else 0) + (options.max_tokens or 512)
    count = model.count if model else estimate
    budget, over = Budget(window, reserved), ""
    try:
        packs = make_packs(
            gathered, sources, root=settings.root, count=count, budget=budget, splits=sources.split
        )
    except OverBudget as error:
        if refuses:
            raise
        over = f"{error}; {error.hint}"
        packs = make_packs(
            gathered, sources, root=settings.root, count=count, budget=None, splits=False
        )
    return Preview(packs, name, model, window, reserved, over)


def _window(name: str, asked: int | None) -> int:
    """The window of a model that is not here, by the catalog."""
    from longctx.runtime.catalog import find

    entry = find(name)
    native = entry.native_window if entry else USUAL_WINDOW
    return min(native, asked or native)
