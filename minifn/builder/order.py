"""The order of a build, its result, and the protocol of the classes that make builds.

`HomeBuilds` makes them on this machine, `minifn.cluster.builds` on the nodes of a cluster.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from minifn.builder.context import BuildContext, BuildMachine
from minifn.builder.logs import LogText
from minifn.host.space import TreeSize
from minifn.languages import Installed, RuntimeUnavailable
from minifn.models import Deployment, Function
from minifn.process_env import CODE
from minifn.sandbox.command import Bind
from minifn.sandbox.engines import Engine
from minifn.sandbox.inherited import passed_through

#: Called once the source is in the build's directory; raises Superseded.
Begun = Callable[[], Awaitable[None]]


class Superseded(Exception):
    """The deployment was canceled or deleted."""


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True):
    """All that a machine needs for a build. It has secrets: it is never written to a disk."""

    function: Function
    #: Without its log.
    deployment: Deployment
    #: The function's variables, merged with the project's.
    variables: dict[str, str]
    #: The API key of the build's commands.
    key: str
    #: The variables that builds inherit from the server (MINIFN_BUILD_ENV_PASSTHROUGH).
    inherited: dict[str, str]


def order_of(
    context: BuildContext, function: Function, deployment: Deployment, variables: Mapping[str, str]
) -> BuildOrder:
    """Return an order. `variables` are the function's, merged with the project's."""
    config = context.config
    return BuildOrder(
        function=function,
        deployment=msgspec.structs.replace(deployment, build_logs=""),
        variables=dict(variables),
        key=context.tokens.mint_key(function.scopes, config.build_timeout, reach=function.reach),
        inherited=passed_through(context.environ, config.build_env_passthrough),
    )


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A finished build, whose directory is published."""

    size: TreeSize
    #: The machine that it belongs to (`identity_of`).
    identity: str
    #: SHA-256 of the packed build, "" if it is not packed.
    sha256: str = ""


class Builds(Protocol):
    """Makes builds, wherever that is."""

    async def build(self, order: BuildOrder, log: LogText, begun: Begun) -> Built:
        """Build a deployment and publish its directory on this machine.

        Canceled, it leaves no process and no file behind. Raises BuildError and Superseded.
        """
        ...


def identity_of(installed: Installed, engine: Engine) -> str:
    """Return the identity of the builds that a runtime makes on this machine, in one line.

    It names the architecture, the C library, the exact interpreters and the path by which code
    knows its directory: a machine with another identity makes its own build.
    """
    code = engine.place(Bind(source=Path("/"), target=CODE))
    versions = "+".join(one.version_text for one in installed.interpreters)
    words = (platform.machine(), *_c_library(), f"{installed.runtime.key}-{versions}")
    return " ".join((*words, code if code == CODE else "in-place"))


async def identity_here(machine: BuildMachine, runtime_id: str) -> str:
    """Return the identity of the builds of a runtime on a machine, "" if it cannot build them."""
    try:
        await asyncio.to_thread(machine.runtimes.look, runtime_id)
        return identity_of(machine.runtimes.resolve(runtime_id), machine.engine)
    except RuntimeUnavailable:
        return ""


def _c_library() -> tuple[str, ...]:
    """Return the name and version of the C library, () for one that does not say."""
    return tuple(word for word in platform.libc_ver() if word)
