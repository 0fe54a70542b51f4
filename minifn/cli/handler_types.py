"""Types of the handler's argument in a new function, so that editors complete."""

from pathlib import Path

#: The file of the types for JavaScript and TypeScript, beside the entry file.
DECLARATIONS = Path(__file__).parents[1] / "handler.d.ts"
_TYPESCRIPT = (
    "export default async ({ req, res, log }: any) =>",
    'import type { Context } from "./handler.d.ts";\n\n'
    "export default async ({ req, res, log }: Context) =>",
)
#: Family -> the handler of its starter, and the same with types.
_HANDLERS = {
    "python": (
        "\n\n\ndef main(context):",
        "\n\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from minifn.handler import Context, Result\n\n\n"
        'def main(context: "Context") -> "Result":',
    ),
    "node": (
        "export default async",
        '/** @type {import("./handler").Handler} */\nexport default async',
    ),
    "bun": _TYPESCRIPT,
    "deno": _TYPESCRIPT,
}


def add_types(entry: Path, family: str) -> list[Path]:
    """Add types to the entry file of a starter; return the files that were made for it.

    A family without types stays as it is. Raises OSError.
    """
    if family not in _HANDLERS:
        return []
    plain, typed = _HANDLERS[family]
    entry.write_text(entry.read_text().replace(plain, typed, 1))
    if family == "python":
        return []
    declarations = entry.with_name(DECLARATIONS.name)
    declarations.write_text(DECLARATIONS.read_text())
    return [declarations]
