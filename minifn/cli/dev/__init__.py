"""`minifn dev`: server, watcher and terminal in one; a saved file is running in milliseconds."""

from minifn.cli.dev.command import dev

__all__ = ["dev"]
