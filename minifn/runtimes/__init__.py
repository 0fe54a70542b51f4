"""The languages functions are written in: what Appwrite names, what this machine has, how to build and start it."""

from minifn.runtimes.interpreters import Interpreter
from minifn.runtimes.manifest import Runtime
from minifn.runtimes.table import BuildPlan, Installed, Place, RuntimeTable, RuntimeUnavailable

__all__ = ["BuildPlan", "Installed", "Interpreter", "Place", "Runtime", "RuntimeTable", "RuntimeUnavailable"]
