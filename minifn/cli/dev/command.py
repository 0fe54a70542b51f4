"""The command: its options, and the server that it runs in."""

import os
from pathlib import Path

import click

from minifn.cli.dev.inspecting import TIMEOUT_SECONDS
from minifn.cli.dev.session import STATE, Options, Session
from minifn.cli.options import GivenPath, configuration, fail, settings
from minifn.cli.serve import serve_until_signal
from minifn.ids import is_id

#: Seconds until an idle worker is stopped, unless MINIFN_IDLE_SECONDS says otherwise: code that no
#: longer loads could not start again.
IDLE_SECONDS = 86_400
#: Settings with a debugger: a call may wait at a breakpoint, and all calls are to meet it.
DEBUGGED = {
    "MINIFN_SYNC_TIMEOUT": str(TIMEOUT_SECONDS),
    "MINIFN_TIMEOUT_MAX": str(TIMEOUT_SECONDS),
    "MINIFN_FUNCTION_WORKERS": "1",
}


@click.command()
@click.argument("directory", default=".", type=GivenPath(file_okay=False, path_type=Path))
@settings(("host", "port", "sandbox"))
@click.option("--function", "chosen", multiple=True, metavar="ID", help="only this function")
@click.option(
    "--env-file",
    "env_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="file of variables for all functions; wins over .env",
)
@click.option("--user", "user_id", metavar="ID", help="call functions' addresses as this user")
@click.option("--inspect", is_flag=True, help="let an editor's debugger attach to functions")
@click.option("--no-schedule", is_flag=True, help="run nothing by a schedule")
def dev(
    directory: Path,
    chosen: tuple[str, ...],
    env_files: tuple[Path, ...],
    user_id: str | None,
    inspect: bool,
    no_schedule: bool,
    **flags: str | bool | None,
) -> None:
    """Serve the functions of DIRECTORY, reloaded on each save."""
    directory = directory.resolve()
    if not directory.is_dir():
        fail(f"{directory} is not a directory", status=2)
    if user_id is not None and not is_id(user_id):
        fail(f"--user must be an id, not {user_id!r}", status=2)
    os.environ.setdefault("MINIFN_IDLE_SECONDS", str(IDLE_SECONDS))
    if inspect:
        os.environ.update(DEBUGGED)
    config = configuration(**flags, data=str(state_directory(directory) / "data"))
    session = Session(
        Options(
            directory=directory,
            chosen=chosen,
            env_files=tuple(path.resolve() for path in env_files),
            user_id=user_id or "",
            schedules=not no_schedule,
            inspect=inspect,
        )
    )
    serve_until_signal(config, session.run)
    if session.problem:
        fail(session.problem)


def state_directory(directory: Path) -> Path:
    """Return the directory `.minifn` of a project, which git ignores; it is made."""
    state = directory / STATE
    ignore = state / ".gitignore"
    try:
        # Functions with their own uid must be able to pass through.
        state.mkdir(mode=0o711, exist_ok=True)
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        fail(f"the state cannot be kept in {state}: {error.strerror}")
    return state
