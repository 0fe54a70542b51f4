"""The contract's programs of each family, and the facts in which it differs."""

import importlib
from pathlib import Path

from tests.runtimes.contract.table import Family


def families() -> tuple[Family, ...]:
    """Return the families that have a folder here, in the order of their keys."""
    keys = sorted(path.parent.name for path in Path(__file__).parent.glob("*/__init__.py"))
    return tuple(importlib.import_module(f"{__name__}.{key}").FAMILY for key in keys)
