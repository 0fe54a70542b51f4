"""minifn in Jupyter and IPython: `%load_ext minifn`, then a function in a cell.

IPython finds `load_ipython_extension` as an attribute of the package.
"""

import argparse
import contextlib
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from minifn.config import Config, ConfigError
from minifn.embed.records import BuildFailed, DeployedFunction
from minifn.errors import MinifnError
from minifn.languages.manifest import Family
from minifn.log_text import printable
from minifn.server import START_ERRORS
from minifn.server.listening import AddressUnavailable
from minifn.sync import SyncMinifn

#: Folder of a notebook's functions, in the notebook's own.
PLACE = Path(".minifn")
_MODULE = re.compile(r"^(?:export|import)\s", re.MULTILINE)


class CellArguments(argparse.ArgumentParser):
    """The arguments of `%%function`; a wrong one is a message in the cell."""

    def __init__(self) -> None:
        super().__init__(prog="%%function", add_help=False)
        self.add_argument("name")
        self.add_argument("--runtime", default="python")
        self.add_argument("--execute", action="append", default=[])
        self.add_argument("--timeout", type=int, default=15)
        self.add_argument("--var", action="append", default=[], metavar="KEY=VALUE")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage()}")


class FunctionMagics:
    """`%%function` and `%run_function`; the server starts with the first of them."""

    def __init__(self) -> None:
        self._server: SyncMinifn | None = None

    def function(self, line: str, cell: str) -> None:
        """Deploy the cell as a function; show its build log and its URL.

        %%function NAME [--runtime python] [--execute ROLE]... [--timeout 15] [--var KEY=VALUE]...
        """
        given = CellArguments().parse_args(words(line))
        variables = dict(pair.split("=", 1) for pair in given.var if "=" in pair)
        if len(variables) != len(given.var):
            raise UsageError("--var takes KEY=VALUE")
        with tempfile.TemporaryDirectory(prefix="minifn-cell-") as place:
            try:
                deployed = self._deploy(given, Path(place), cell, variables)
            except BuildFailed as error:
                print(printable(error.deployment.build_logs).rstrip())
                raise UsageError(f"the build of {given.name} failed") from None
            except MinifnError as error:
                raise UsageError(error.message) from None
        print(printable(deployed.deployment.build_logs).rstrip())
        print(f"{deployed.id} answers at {deployed.url}")

    def _deploy(
        self, given: argparse.Namespace, place: Path, cell: str, variables: dict[str, str]
    ) -> DeployedFunction:
        server = self._started()
        family = server.minifn.runtimes.families().get(given.runtime.partition("-")[0])
        entrypoint = entry_file(family, cell)
        path = place / entrypoint
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(cell, encoding="utf-8")
        return server.deploy(
            given.name,
            place,
            runtime=given.runtime,
            entrypoint=entrypoint,
            execute=given.execute or ["any"],
            timeout=given.timeout,
            variables=variables,
        )

    def run_function(self, line: str) -> Any:
        """Call a function, print its logs, and return its answer: parsed JSON, or text.

        %run_function NAME [BODY]; `{name}` in the line is a variable of the notebook.
        """
        name, _, body = line.strip().partition(" ")
        if not name:
            raise UsageError("%run_function NAME [BODY]")
        try:
            result = self._started().execute(name, body=body.strip())
        except MinifnError as error:
            raise UsageError(error.message) from None
        for text in (result.logs, result.errors):
            if text:
                print(printable(text).rstrip())
        if result.status >= 400:
            print(f"status {result.status}")
        if dict(result.headers).get("content-type", "").startswith("application/json"):
            with contextlib.suppress(ValueError):
                return result.json()
        # No JSON, or not what the function calls JSON.
        return result.text

    def _started(self) -> SyncMinifn:
        """Return the server of this notebook. The end of the process ends it and its functions."""
        if self._server is None:
            try:
                PLACE.mkdir(exist_ok=True)
                (PLACE / ".gitignore").write_text("*\n")
                server = SyncMinifn(Config(data=PLACE / "notebook", port=0), serve=True)
                server.start()
            except (ConfigError, AddressUnavailable, *START_ERRORS) as error:
                raise UsageError(str(error)) from None
            self._server = server
        return self._server


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics."""
    magics = FunctionMagics()
    register = shell.magics_manager.register_function
    register(magics.function, magic_kind="cell", magic_name="function")
    register(magics.run_function, magic_kind="line", magic_name="run_function")


def words(line: str) -> list[str]:
    """Return the words of a line. Raises UsageError for a quotation without an end."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line}: {error}") from None


def entry_file(family: Family | None, code: str) -> str:
    """Return the name for a cell's code: that of the family's starter, or of an ES module."""
    name = family.starter.entrypoint if family and family.starter else "main.py"
    if name.endswith(".js") and _MODULE.search(code):
        return f"{name.removesuffix('.js')}.mjs"
    return name
