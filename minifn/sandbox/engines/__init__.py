"""Isolation engines: each is a pure function from a Command to an argv that the spawner starts.

| engine | confined by | other processes | disk |
|---|---|---|---|
| bwrap | namespaces, seccomp, limits | invisible | a private directory is writable |
| sandlock | Landlock, a supervisor, limits | invisible | a private directory is open |
| process | Landlock, seccomp, limits | visible | a private directory is open |
| none | nothing; for development | visible | open like to the server |

When the server is root, all but `none` run each function under a uid of its own.
"""

from typing import Protocol

from minifn.sandbox.command import Bind, Command, EngineUnavailable, Network, Wrapped


class Engine(Protocol):
    """An isolation method."""

    name: str
    #: One line for people about the protection.
    strength: str
    #: Path of the private temporary directory, as a command names it in arguments and variables.
    tmp: str
    #: Whether a command has namespaces: its own file system and processes, and none of the network
    #: if it may have none.
    namespaces: bool

    def place(self, bind: Bind) -> str:
        """Return the path by which a command sees this bind."""
        ...

    def wrap(self, command: Command) -> Wrapped:
        """Return the confined command for the spawner.

        Raises EngineUnavailable for a promise that the engine cannot keep.
        """
        ...


def user_under(engine: Engine, uid: int) -> int:
    """Return the uid that a command for `uid` runs with, 0 for the server's own."""
    return engine.wrap(Command(argv=("true",), env={}, uid=uid)).uid


def refuse_less_network(engine: str, command: Command) -> None:
    """Raise EngineUnavailable for a command that must have less than the host's network."""
    if command.network is not Network.HOST:
        raise EngineUnavailable(f"the engine {engine} cannot take the network away; use bwrap")
