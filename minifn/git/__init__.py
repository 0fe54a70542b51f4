"""Git as a source of deployments: repositories that functions are connected to, and ones that are pushed to minifn."""

from minifn.git.queue import GitTools
from minifn.git.service import GitService, template_source

__all__ = ["GitService", "GitTools", "template_source"]
