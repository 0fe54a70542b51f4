"""Appwrite Functions in one process."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minifn.config import Config, ConfigError
    from minifn.embed import Minifn
    from minifn.errors import (
        ArgumentInvalid,
        BuildNotReady,
        DeploymentNotFound,
        FunctionNotFound,
        FunctionSynchronousTimeout,
        MinifnError,
        NotRunning,
        Overloaded,
    )
    from minifn.models import Execution, ExecutionResult
    from minifn.sandbox.lock import DataInUse

__version__ = "0.2.0.dev0"
__all__ = [
    "ArgumentInvalid",
    "BuildNotReady",
    "Config",
    "ConfigError",
    "DataInUse",
    "DeploymentNotFound",
    "Execution",
    "ExecutionResult",
    "FunctionNotFound",
    "FunctionSynchronousTimeout",
    "Minifn",
    "MinifnError",
    "NotRunning",
    "Overloaded",
    "__version__",
]

_HOMES = {
    **dict.fromkeys(
        (
            "ArgumentInvalid",
            "BuildNotReady",
            "DeploymentNotFound",
            "FunctionNotFound",
            "FunctionSynchronousTimeout",
            "NotRunning",
            "Overloaded",
        ),
        "minifn.errors",
    ),
    "Config": "minifn.config",
    "ConfigError": "minifn.config",
    "DataInUse": "minifn.sandbox.lock",
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
