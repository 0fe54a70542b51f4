"""The folders of a runtime that its builds and workers see, and their places there."""

from collections.abc import Mapping

from minifn.host.datadir import DataDir
from minifn.languages import Installed
from minifn.process_env import COMMON, SHARED, WRAPPER
from minifn.sandbox.command import Bind
from minifn.sandbox.engines import Engine


def folders(installed: Installed, data: DataDir) -> dict[str, Bind]:
    """Return the binds of a runtime's folders by the field of `Place` that names each."""
    found = {"wrapper": Bind(source=installed.wrapper, target=WRAPPER)}
    if installed.common:
        found["common"] = Bind(source=installed.common, target=COMMON)
    if installed.cache_name:
        found["shared"] = Bind(source=data.toolchain(installed.cache_name), target=SHARED)
    return found


def shown(installed: Installed) -> tuple[Bind, ...]:
    """Return the binds of a toolchain, which lies at its own place."""
    return tuple(Bind(source=path, target=str(path)) for path in installed.binds)


def places(engine: Engine, binds: Mapping[str, Bind]) -> dict[str, str]:
    """Return the paths by which a command sees each bind."""
    return {name: engine.place(bind) for name, bind in binds.items()}
