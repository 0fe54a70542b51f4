"""Fixtures that tests of sandboxed workers share."""

from tests.sandbox.conftest import place

__all__ = ["place"]
