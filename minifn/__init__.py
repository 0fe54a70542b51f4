"""Appwrite Functions in one process."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minifn.config import Config
    from minifn.embed import Minifn
    from minifn.errors import MinifnError
    from minifn.models import Execution, ExecutionResult

__version__ = "0.2.0.dev0"
__all__ = ["Config", "Execution", "ExecutionResult", "Minifn", "MinifnError", "__version__"]

_HOMES = {
    "Config": "minifn.config",
    "Execution": "minifn.models",
    "ExecutionResult": "minifn.models",
    "Minifn": "minifn.embed",
    "MinifnError": "minifn.errors",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: every module of the package runs this file, few need the whole server."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
