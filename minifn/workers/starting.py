"""Starts a worker's process: in a sandbox of its own, or by a fork of its deployment's template."""

import dataclasses
import logging
import socket

from minifn.sandbox.command import SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher.messages import FIRST_DESCRIPTOR
from minifn.sandbox.process import Process
from minifn.sandbox.spawner import Spawner
from minifn.workers.records import WorkerSpec
from minifn.workers.socket_pair import socket_pair
from minifn.workers.template import Template

logger = logging.getLogger("minifn.workers")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A process and the server's end of its socket."""

    process: Process
    socket: socket.socket
    #: Bytes that were read from the socket already.
    read: bytes = b""
    #: The template that forked it, None for none.
    template: Template | None = None


async def start_process(
    spec: WorkerSpec, spawner: Spawner, engine: Engine, template: Template | None, output: int
) -> Started:
    """Start a worker's process that writes to the descriptor `output`.

    Without a template, or when it cannot fork, the process gets a sandbox of its own. Raises
    SandboxError.
    """
    if template is not None:
        try:
            return await _fork(template, output)
        except SandboxError as exc:
            logger.info("%s: a worker starts without its template: %s", spec.command.label, exc)
    ours, theirs = socket_pair()
    env = {**spec.command.env, "MINIFN_SOCKET": f"fd:{FIRST_DESCRIPTOR}"}
    try:
        wrapped = engine.wrap(dataclasses.replace(spec.command, env=env))
        process = await spawner.spawn(wrapped, (theirs.fileno(),), stdout=output, stderr=output)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Started(process=process, socket=ours)


async def _fork(template: Template, output: int) -> Started:
    ours, theirs = socket_pair()
    try:
        process, read = await template.fork(ours, theirs, output)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Started(process=process, socket=ours, read=read, template=template)
