"""The languages of functions: Appwrite's names, this machine's interpreters, and their commands."""

from minifn.languages.installed import BuildPlan, Installed, Place
from minifn.languages.interpreters import Interpreter
from minifn.languages.manifest import Runtime
from minifn.languages.table import RuntimeTable, RuntimeUnavailable

__all__ = [
    "BuildPlan",
    "Installed",
    "Interpreter",
    "Place",
    "Runtime",
    "RuntimeTable",
    "RuntimeUnavailable",
]
