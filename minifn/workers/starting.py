"""Starts a worker's process: in a sandbox of its own, or by its deployment's template."""

import logging
from dataclasses import replace

from minifn.sandbox.command import SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.launcher.messages import FIRST_DESCRIPTOR
from minifn.sandbox.spawner import Spawner
from minifn.workers.channels import Started, channels
from minifn.workers.records import WorkerSpec
from minifn.workers.template import Template

logger = logging.getLogger("minifn.workers")


async def start_process(
    spec: WorkerSpec, spawner: Spawner, engine: Engine, template: Template | None
) -> Started:
    """Start a worker's process.

    Without a template, or when it cannot give one, the process gets a sandbox of its own. Raises
    SandboxError.
    """
    if template is not None:
        try:
            return await template.give()
        except SandboxError as exc:
            logger.info("%s: a worker starts without its template: %s", spec.command.label, exc)
    return await start_alone(spec, spawner, engine)


async def start_alone(spec: WorkerSpec, spawner: Spawner, engine: Engine) -> Started:
    """Start a worker's process in a sandbox of its own. Raises SandboxError."""
    with channels() as (ours, theirs, reading, writing):
        env = {**spec.command.env, "MINIFN_SOCKET": f"fd:{FIRST_DESCRIPTOR}"}
        wrapped = engine.wrap(replace(spec.command, env=env))
        process = await spawner.spawn(wrapped, (theirs.fileno(),), stdout=writing, stderr=writing)
        return Started(process=process, socket=ours, output=reading)
