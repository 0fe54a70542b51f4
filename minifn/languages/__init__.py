"""The languages functions are written in: what Appwrite names, what this machine has, how to build and start it."""

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
