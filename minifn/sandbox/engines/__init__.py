"""Isolation engines."""

from .bwrap import BwrapEngine, Engine, Layout, NoEngine, ProcessEngine, Programs

__all__ = ["BwrapEngine", "Engine", "Layout", "NoEngine", "ProcessEngine", "Programs"]
