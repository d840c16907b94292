"""Small helpers behind the chapters of the book, one module per idea.

``import tlhelpers as tl`` is cheap: ``tl.data``, ``tl.training`` and the other modules (and the heavy
libraries they need) are imported when first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "profile",
    "data",
    "own",
    "backbones",
    "features",
    "inside",
    "pictures",
    "similarity",
    "fetch",
    "hub",
    "text",
    "trainer",
    "targets",
    "sounds",
    "freezing",
    "rates",
    "training",
    "checks",
    "forgetting",
    "saving",
    "measures",
    "plots",
    "strategy",
    "results",
    "quiz",
    "claims",
)
__all__ = list(_MODULES)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_MODULES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
