"""The command line. A command's module is imported when the command is called."""

import errno
import gc
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from minifn import __version__

#: Command -> module and name of its definition, in the order of `minifn --help`.
COMMANDS = {
    "serve": "minifn.cli.serve:serve",
    "dev": "minifn.cli.dev:dev",
    "demo": "minifn.cli.demo:demo",
    "init": "minifn.cli.init:init",
    "deploy": "minifn.cli.deploy:deploy",
    "run": "minifn.cli.run:run",
    "ls": "minifn.cli.functions:list_functions",
    "show": "minifn.cli.functions:show",
    "logs": "minifn.cli.logs:logs",
    "replay": "minifn.cli.replay:replay",
    "deployments": "minifn.cli.deployments:deployments",
    "activate": "minifn.cli.deployments:activate",
    "rollback": "minifn.cli.deployments:rollback",
    "vars": "minifn.cli.variables:variables",
    "link": "minifn.cli.link:link",
    "open": "minifn.cli.link:open_console",
    "completion": "minifn.cli.completion:completion",
    "nodes": "minifn.cli.nodes:nodes",
    "drain": "minifn.cli.nodes:drain",
    "service": "minifn.cli.service:service",
    "doctor": "minifn.cli.doctor:doctor",
    "keys": "minifn.cli.keys:keys",
    "token": "minifn.cli.keys:token",
    "git": "minifn.cli.git:git",
    "backup": "minifn.cli.backup:backup",
    "restore": "minifn.cli.backup:restore",
    "migrate": "minifn.cli.migrate.command:migrate",
}
#: Errors of a path that a command was given, and of a disk.
EXPLAINED = (
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.ENOENT),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
)


class LazyGroup(click.Group):
    """A group that imports a command on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(imported(module), name)
        assert isinstance(command, click.Command)
        refuse_empty(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A bad argument, or a disk that takes nothing, ends it with one line."""
        try:
            return super().invoke(ctx)
        except UnicodeEncodeError:
            reason = "an argument is not text in UTF-8"
        except OSError as error:
            if error.errno not in EXPLAINED:
                raise
            reason = str(error)
            if isinstance(error, FileNotFoundError) and error.filename is None:
                reason = "the current directory was removed: change to another one"
        from minifn.cli.options import fail

        fail(reason)


def refuse_empty(command: click.Command) -> None:
    """Have a command refuse empty texts, except for parameters whose default is one."""
    from minifn.cli.options import Given

    for param in command.params:
        if param.type is click.STRING and param.default != "":
            param.type = Given()
    if isinstance(command, click.Group):
        for below in command.commands.values():
            refuse_empty(below)


def imported(module: str) -> ModuleType:
    """Import a module, and keep what is there from the garbage collector for good.

    Nothing of it becomes garbage, and to look through it, now and at the end of the process, takes
    as long as a third of the import.
    """
    if module in sys.modules:
        return sys.modules[module]
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minifn", message="%(prog)s %(version)s")
def main() -> None:
    """Appwrite Functions in one process."""
    open_missing_streams()


def open_missing_streams() -> None:
    """Open /dev/null for each standard stream that is closed.

    Otherwise the server's own files get the numbers of these streams, and messages are written to
    them.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is the stream's own.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
