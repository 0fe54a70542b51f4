"""Builds: every waiting deployment is unpacked, built under the engine and published read-only.

`queue` chooses the next build and records how it ended, `build` takes the steps of one build,
`logs` streams its output into the deployment, `publish` checks and seals its directory.
"""

from minifn.builder.context import BuildContext
from minifn.builder.queue import Builder

__all__ = ["BuildContext", "Builder"]
