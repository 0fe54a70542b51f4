"""The languages of functions: Appwrite's names, this machine's interpreters, and their commands."""

from minifn.languages.interpreters import Interpreter
from minifn.languages.manifest import Runtime
from minifn.languages.table import BuildPlan, Installed, Place, RuntimeTable, RuntimeUnavailable

__all__ = [
    "BuildPlan",
    "Installed",
    "Interpreter",
    "Place",
    "Runtime",
    "RuntimeTable",
    "RuntimeUnavailable",
]
