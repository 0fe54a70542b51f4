"""The parts of the server that builds use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from minifn.archive.folders import Folder
from minifn.builder.toolchains import ToolchainCaches
from minifn.change_feed import ChangeFeed
from minifn.config import Config
from minifn.endpoint import ApiEndpoint
from minifn.hooks import Hooks
from minifn.host.datadir import DataDir
from minifn.languages import RuntimeTable
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.store.database import Database
from minifn.tokens import Tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildMachine:
    """The parts of a machine, the server's or a node, that make a build."""

    config: Config
    endpoint: ApiEndpoint
    data: DataDir
    engine: Engine
    spawner: Spawner
    runtimes: RuntimeTable
    toolchains: ToolchainCaches
    #: Deployment -> the folder that it is built from, in place of an archive.
    folders: Mapping[str, Folder] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext(BuildMachine):
    """The parts of the server that order builds and record their ends."""

    database: Database
    #: Mints the API keys of builds.
    tokens: Tokens
    changes: ChangeFeed = field(default_factory=ChangeFeed)
    hooks: Hooks = field(default_factory=Hooks)
    #: The server's environment, from which MINIFN_BUILD_ENV_PASSTHROUGH picks.
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
