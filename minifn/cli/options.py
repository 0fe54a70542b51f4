"""Command-line options made from the settings: each field of Config is declared once, there."""

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable
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
#: Settings that may be given as an option; a secret on a command line can be read by every user of the machine.
OPTIONS = tuple(name for name, item in FIELDS.items() if not item.metadata.get("secret"))
#: Settings that are no secrets, but whose URLs may hold passwords.
WITH_PASSWORDS = tuple(name for name, item in FIELDS.items() if item.metadata.get("password"))


def flag(name: str) -> str:
    """Return the option of a setting: `--sync-timeout`."""
    return "--" + name.replace("_", "-")


def setting(name: str) -> Callable[[Command], Command]:
    """Return the decorator that adds a setting's option to a command; the value reaches it as text, or None."""
    item = FIELDS[name]
    default = item.metadata.get("shown", item.default)
    described = f"{item.metadata['help']}  [{variable(item)}; default: {default if default != () else 'none'}]"
    if isinstance(item.default, bool):
        return click.option(
            f"{flag(name)}/--no-{flag(name)[2:]}", name, default=None, help=described
        )
    metavar = (
        "|".join(item.metadata["choices"]) if "choices" in item.metadata else _metavar(item.default)
    )
    return click.option(flag(name), name, metavar=metavar, help=described)


def settings(names: Iterable[str]) -> Callable[[Command], Command]:
    """Return the decorator that adds the options of several settings, in the order given."""
    decorators = [setting(name) for name in names]

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def configuration(**flags: str | bool | None) -> Config:
    """Return the settings of the environment, overridden by the options given; ends the process with 2 on a bad one.

    Secrets are taken out of the environment, so that nothing this process starts inherits them.
    """
    given = {name: str(value) for name, value in flags.items() if value is not None}
    for name in WITH_PASSWORDS:
        if without_credentials(given.get(name, "")) != given.get(name, ""):
            setting = variable(FIELDS[name])
            fail(
                f"{flag(name)} holds a password, which every user of the machine can read: set {setting}",
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


def signing_secret(config: Config) -> str:
    """Return the secret that signs JWTs, made if need be; ends the process with one line when it cannot be had."""
    data = DataDir(config.data)
    try:
        data.prepare()
        return data.keep_secret(data.jwt_secret, config.jwt_secret)[0]
    except OSError as error:
        fail(str(error))


def fail(message: str, status: int = 1) -> NoReturn:
    """End the process with one line on stderr."""
    click.echo(printable(f"minifn: {message}"), err=True)
    sys.exit(status)


def _metavar(default: object) -> str:
    if isinstance(default, tuple):
        return "A,B,.."
    return {int: "N", float: "N", str: "TEXT"}.get(type(default), "DIR")
