"""The store has no wire names."""

import ast
import re
from pathlib import Path

from minifn import store

WIRE_NAME = re.compile(r"\$[a-z]|\b[a-z]+[A-Z]")


def test_the_store_has_no_wire_names() -> None:
    """Neither `$createdAt` nor camelCase, in a text or as an identifier."""
    found = []
    files = sorted(Path(store.__path__[0]).glob("*.py"))
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.value if isinstance(node, ast.Constant) else getattr(node, "id", "")
            if isinstance(name, str) and WIRE_NAME.search(name):
                found.append(f"{path.name}: {name[:100]}")
    assert files
    assert found == []
