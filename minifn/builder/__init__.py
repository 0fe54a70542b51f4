"""Builds: every waiting deployment is unpacked, built under the engine and published read-only.

`queue` chooses the next build and records how it ended. `order` defines the order of a build and
its result. `build` takes the steps of one build on this machine, `logs` streams its output into the
deployment, `publish` checks and seals its directory, `packed` keeps it as one file.
"""

from minifn.builder.context import BuildContext
from minifn.builder.queue import Builder, MakeBuilds

__all__ = ["BuildContext", "Builder", "MakeBuilds"]
