"""The runtimes and the pool of a machine, for a server and for each node of a cluster."""

import os
from typing import TypeVar

from minifn.config import Config
from minifn.host import memory_limit
from minifn.host.datadir import DataDir
from minifn.languages import RuntimeTable
from minifn.languages.table import default_search_path
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.workers.pool import Pool
from minifn.workers.room import WORKER_BYTES
from minifn.workers.templates import room_of

OnePool = TypeVar("OnePool", bound=Pool)


def load_runtimes(config: Config, data: DataDir, engine: Engine) -> RuntimeTable:
    """Return the runtimes of this machine; blocks.

    For functions with their own uid and without a file system of their own, the wrappers are
    copied to where every uid may read them.
    """
    table = RuntimeTable.load(search_path=default_search_path(config.runtime_paths))
    drops = os.geteuid() == 0 and not engine.namespaces and engine.name != "none"
    return table.public(data.runtimes) if drops else table


def make_pool(kind: type[OnePool], config: Config, spawner: Spawner, engine: Engine) -> OnePool:
    """Return a pool, within the memory of this machine."""
    limit_bytes = memory_limit.look().limit_bytes
    return kind(
        spawner,
        engine,
        idle_seconds=config.idle_seconds,
        workers_max=max(8, limit_bytes // 2 // WORKER_BYTES),
        function_workers_max=config.function_workers,
        available_bytes=memory_limit.Glances().available_bytes,
        template_bytes=room_of(engine, config.template_memory, limit_bytes),
    )
