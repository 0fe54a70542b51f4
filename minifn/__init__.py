"""Appwrite Functions in one process."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minifn.config import Config, ConfigError
    from minifn.embed import Minifn
    from minifn.embed.news import LogLine
    from minifn.embed.records import BuildFailed, DeployedFunction
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
    from minifn.models import Deployment, Execution, ExecutionResult, Function, Variable
    from minifn.sandbox.lock import DataInUse
    from minifn.sync import SyncMinifn

__version__ = "0.2.0.dev0"
__all__ = [
    "ArgumentInvalid",
    "BuildFailed",
    "BuildNotReady",
    "Config",
    "ConfigError",
    "DataInUse",
    "DeployedFunction",
    "Deployment",
    "DeploymentNotFound",
    "Execution",
    "ExecutionResult",
    "Function",
    "FunctionNotFound",
    "FunctionSynchronousTimeout",
    "LogLine",
    "Minifn",
    "MinifnError",
    "NotRunning",
    "Overloaded",
    "SyncMinifn",
    "Variable",
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
    **dict.fromkeys(("BuildFailed", "DeployedFunction"), "minifn.embed.records"),
    **dict.fromkeys(
        ("Deployment", "Execution", "ExecutionResult", "Function", "Variable"), "minifn.models"
    ),
    "Config": "minifn.config",
    "ConfigError": "minifn.config",
    "DataInUse": "minifn.sandbox.lock",
    "LogLine": "minifn.embed.news",
    "Minifn": "minifn.embed",
    "MinifnError": "minifn.errors",
    "SyncMinifn": "minifn.sync",
    # `%load_ext minifn` of IPython.
    "load_ipython_extension": "minifn.notebook",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, because most modules of the package need few of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
