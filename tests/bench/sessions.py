"""An installed model for the suites that ask it, as the commands have it."""

from collections.abc import Iterator
from contextlib import contextmanager

from longctx.cli.model import open_model, open_prefixes
from longctx.cli.options import ModelOptions
from longctx.cli.progress import open_progress
from longctx.cli.screen import Screen
from longctx.cli.session import Session
from longctx.cli.settings import read_settings


@contextmanager
def opened(name: str, label: str) -> Iterator[Session]:
    """The Session of a model that is loaded once; its `room` is to be set before it is asked."""
    settings, options = read_settings(), ModelOptions(model=name)
    screen = Screen(settings)
    progress = open_progress(screen)
    model = open_model(settings.root, name, options, None, progress)
    model.prefixes, model.label = open_prefixes(settings, options), label
    session = Session(model, 0, screen, progress, lambda words: None, lambda: None)
    try:
        yield session
    finally:
        progress.pause()
        session.close()
