"""Token ids in, token ids out: the model store, the tokenizer and the engine.

What scripts need can be imported from here; nothing is loaded before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longctx.runtime.chat import chat_prompt
    from longctx.runtime.engine import Engine
    from longctx.runtime.grammar import Grammar
    from longctx.runtime.loading import load_engine
    from longctx.runtime.prefix_store import PrefixStore
    from longctx.runtime.sampling import Sampling
    from longctx.runtime.tokenizer import Tokenizer

_MODULES = {
    "Engine": "engine",
    "Grammar": "grammar",
    "PrefixStore": "prefix_store",
    "Sampling": "sampling",
    "Tokenizer": "tokenizer",
    "chat_prompt": "chat",
    "load_engine": "loading",
}

__all__ = [
    "Engine",
    "Grammar",
    "PrefixStore",
    "Sampling",
    "Tokenizer",
    "chat_prompt",
    "load_engine",
]


def __getattr__(name: str) -> Any:
    """What is named, from the module that has it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
