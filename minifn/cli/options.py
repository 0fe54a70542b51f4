"""Command-line options, made from the settings that Config declares."""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from minifn.config import Config, ConfigError, variable
from minifn.git.installations import without_credentials
from minifn.host.datadir import DataDir
from minifn.log_text import printable

Command = TypeVar("Command", bound=Callable[..., Any])

FIELDS: dict[str, "dataclasses.Field[Any]"] = {
    item.name: item for item in dataclasses.fields(Config)
}
#: Settings with an option; a secret has none, because every user can read a command line.
OPTIONS = tuple(name for name, item in FIELDS.items() if not item.metadata.get("secret"))
#: Settings whose URLs may contain passwords.
WITH_PASSWORDS = tuple(name for name, item in FIELDS.items() if item.metadata.get("password"))

#: Variables of the commands that talk to a server.
CLIENT_VARIABLES = ("MINIFN_SERVER", "MINIFN_OTHER_KEY")
_ERROR_NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")
_DURATION = re.compile(r"([0-9]+)([smhd]?)")
#: Longest duration, a thousand years.
SECONDS_MAX = 365_000 * 86400
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Given(click.types.StringParamType):
    """Text that is not empty: an unset variable of a script must not pass for a default."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text. An empty one ends the process with 2."""
        if value == "":
            self.fail("it is empty; leave it out for the default", param, ctx)
        return super().convert(value, param, ctx)


class GivenPath(click.Path):
    """A path that is not empty, which would be the current directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. An empty one ends the process with 2."""
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


def flag(name: str) -> str:
    """Return the option of a setting: `--sync-timeout`."""
    return "--" + name.replace("_", "-")


def setting(name: str) -> Callable[[Command], Command]:
    """Return the decorator that adds a setting's option, with text or None, to a command."""
    item = FIELDS[name]
    default = item.metadata.get("shown", item.default)
    shown = default if default != () else "none"
    described = f"{item.metadata['help']}  [{variable(item)}; default: {shown}]"
    if isinstance(item.default, bool):
        return click.option(
            f"{flag(name)}/--no-{flag(name)[2:]}", name, default=None, help=described
        )
    metavar = (
        "|".join(item.metadata["choices"]) if "choices" in item.metadata else _metavar(item.default)
    )
    return click.option(flag(name), name, metavar=metavar, help=described)


def settings(names: Iterable[str]) -> Callable[[Command], Command]:
    """Return the decorator that adds the options of several settings, in order."""
    decorators = [setting(name) for name in names]

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def configuration(**flags: str | bool | None) -> Config:
    """Return the settings of the environment, overridden by the options given.

    A bad value ends the process with 2. Secrets are removed from the environment, so that no child
    process inherits them.
    """
    given = {name: str(value) for name, value in flags.items() if value is not None}
    for name in WITH_PASSWORDS:
        if without_credentials(given.get(name, "")) != given.get(name, ""):
            setting = variable(FIELDS[name])
            fail(
                f"{flag(name)} holds a password, which every user of the machine can read: set"
                f" {setting}",
                status=2,
            )
    environ = dict(os.environ)
    for name in FIELDS:
        if name not in OPTIONS or name in WITH_PASSWORDS:
            os.environ.pop(variable(FIELDS[name]), None)
    try:
        return Config.from_env(
            {**environ, **{variable(FIELDS[name]): text for name, text in given.items()}}
        )
    except ConfigError as error:
        message = str(error)
        for name in given:
            message = message.replace(f"{variable(FIELDS[name])} ", f"{flag(name)} ")
        fail(message, status=2)


def existing_data(config: Config) -> DataDir:
    """Return the data directory of a server that was started at least once.

    Without one the process ends: keys that are made elsewhere open nothing.
    """
    data = DataDir(config.data)
    if not data.database.exists():
        fail(f"no server keeps its data in {data.root}: name its directory with --data")
    return data


def signing_secret(config: Config) -> str:
    """Return the secret that signs JWTs. An error ends the process."""
    if config.jwt_secret:
        return config.jwt_secret
    data = existing_data(config)
    try:
        return data.keep_secret(data.jwt_secret, "")[0]
    except OSError as error:
        fail(str(error))


def point_out_mistyped(environ: Mapping[str, str]) -> None:
    """Write a line to stderr for each variable that looks like a setting but is not one."""
    named = (*map(variable, FIELDS.values()), *CLIENT_VARIABLES)
    known = {name.removeprefix("MINIFN_") for name in named}
    for name in sorted(environ):
        given = name.removeprefix("MINIFN_")
        if given != name and given not in known:
            # Servers seldom need it.
            import difflib

            near = next(iter(difflib.get_close_matches(given, sorted(known), n=1)), "")
            hint = f"; did you mean MINIFN_{near}?" if near else ""
            click.echo(printable(f"minifn: {name} is not a setting{hint}"), err=True)


def seconds(flag: str, duration: str) -> int:
    """Return a duration such as `15m` in seconds; end the process with 2 for another text."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        fail(f"{flag} must be like 30s, 15m, 2h or 1d, not {duration!r}", status=2)
    count = int(match[1]) * _UNIT_SECONDS[match[2]]
    if count > SECONDS_MAX:
        fail(f"{flag} must be at most {SECONDS_MAX // 86400:,} days, not {duration!r}", status=2)
    return count


def fail(message: str, status: int = 1) -> NoReturn:
    """End the process with one line on stderr, without the numbers of the system's errors."""
    line = _ERROR_NUMBER.sub("", printable(f"minifn: {message}"))
    click.echo(" ".join(line.splitlines()), err=True)
    sys.exit(status)


def _metavar(default: object) -> str:
    if isinstance(default, tuple):
        return "A,B,.."
    return {int: "N", float: "N", str: "TEXT"}.get(type(default), "DIR")
