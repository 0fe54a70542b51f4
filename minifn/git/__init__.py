"""Git as a source of deployments: connected repositories, and pushes to minifn."""

from minifn.git.fetch_queue import GitContext
from minifn.git.service import GitService, template_source

__all__ = ["GitContext", "GitService", "template_source"]
