"""The specifications that this server offers."""

from minifn.config import Config
from minifn.models import SPECIFICATIONS, Specification


def offered(config: Config) -> tuple[Specification, ...]:
    """Return the specifications within the configured limits; 0 = no limit."""
    return tuple(
        item
        for item in SPECIFICATIONS
        if (not config.cpus or item.cpus <= config.cpus)
        and (not config.memory or item.memory_mb <= config.memory)
    )
