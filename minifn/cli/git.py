"""`minifn git`: the webhooks to enter at the hosts of repositories."""

import click

from minifn.cli.options import configuration, settings, signing_secret
from minifn.config import authority
from minifn.git.installations import Installations
from minifn.git.service import events_secret
from minifn.log_text import printable


@click.command()
@settings(("git_installations", "data", "host", "port"))
def git(**flags: str | None) -> None:
    """List the installations of repositories and their webhooks.

    Each webhook has an address and a secret.
    """
    config = configuration(**flags)
    secret = signing_secret(config)
    if not config.git_installations:
        click.echo("No installation is set: MINIFN_GIT_INSTALLATIONS names them.", err=True)
    for installation in Installations(config.git_installations).all:
        click.echo(printable(f"{installation.name}  {installation.directory or installation.url}"))
        click.echo(
            f"  webhook  http://{authority(config.host, config.port)}/v1/vcs/"
            f"{installation.name}/events"
        )
        click.echo(f"  secret   {events_secret(secret, installation.name)}")
