"""Draws the terminal session at the head of the README: `python -m tests.docs.picture`.

It is a real session: a server, an upload, calls. Only the port, the paths and keys are replaced.
"""

import io
import re
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.docs.blocks import PAGES, Block, Reader

PICTURE = PAGES / "terminal.svg"
COLUMNS = 100
FUNCTION = """\
def main(context):
    name = context.req.body_text or "world"
    context.log("greeting", name)
    return context.res.text(f"Hello, {name}!\\n")
"""
SHOWN = (
    "cat hello/main.py",
    "minifn init hello",
    "minifn deploy hello",
    "minifn run hello Ada",
    "curl -d Grace http://hello.functions.localhost:8000/",
    "minifn logs hello",
)
#: The key of a link that signs in.
TOKEN = re.compile(r"token=\S+")
#: Rich's SVG names a font on another host.
FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def block(language: str, kind: str, text: str, rest: str = "") -> Block:
    """Return a block as a page would have it."""
    return Block(language=language, kind=kind, rest=rest, text=text)


def session(folder: Path) -> list[tuple[str, str]]:
    """Run the session and return each command with what it printed."""
    with Reader(folder) as reader:
        reader.do(block("python", "file=", FUNCTION, "hello/main.py"))
        reader.serve("minifn serve")
        shown = [("minifn serve &", reader.log())]
        for command in SHOWN:
            # As long as a person types: a worker is started meanwhile.
            time.sleep(2)
            reader.do(block("bash", "run", f"{command.replace('curl', 'curl -sS')} 2>&1"))
            shown.append((command, reader.printed))
        key = (reader.folder / "minifn-data" / "admin.key").read_text().strip()
        port = f":{reader.port}"
        home = str(reader.folder)
    return [
        (command, _without(text.replace(port, ":8000").replace(home, "~"), key))
        for command, text in shown
    ]


def _without(text: str, key: str) -> str:
    return TOKEN.sub("token=...", text.replace(key, f"{key[:14]}..."))


def draw(shown: list[tuple[str, str]]) -> str:
    """Return the session as an SVG that needs nothing from another host."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    for command, text in shown:
        console.print(Text("$ ", style="bold green"), Text(command, style="bold"), sep="")
        console.print(Text(text.strip()))
        console.print()
    return FONT_FACES.sub("", console.export_svg(title="minifn", unique_id="minifn"))


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory(prefix="minifn-picture-") as place:
        # Functions that run as users of their own must be able to pass.
        Path(place).chmod(0o711)
        PICTURE.write_text(draw(session(Path(place))))


if __name__ == "__main__":
    main()
