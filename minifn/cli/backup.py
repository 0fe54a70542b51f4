"""`minifn backup` and `minifn restore`: a data directory in one file, and back."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import click

from minifn.cli.options import GivenPath, configuration, existing_data, fail, settings
from minifn.host.datadir import DataDir
from minifn.services import backup as backups
from minifn.store.schema import DatabaseTooNew

FILE = GivenPath(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--without-keys",
    is_flag=True,
    help="leave the key files out; a restored server still needs them",
)
@click.option(
    "--without-builds",
    is_flag=True,
    help="leave the builds out; a restored server makes them again",
)
@click.option("--force", is_flag=True, help="overwrite FILE")
@settings(("data",))
def backup(
    file: Path, without_keys: bool, without_builds: bool, force: bool, data: str | None
) -> None:
    """Copy a data directory to FILE while its server runs."""
    directory = existing_data(configuration(data=data))
    if file.exists() and not force:
        fail(f"{file} exists: --force overwrites it")
    done = _done(
        lambda: backups.backup(directory, file, keys=not without_keys, builds=not without_builds)
    )
    keys = f"{done.keys} key files: keep it as safe as them" if done.keys else "no key files"
    click.echo(f"{file}: {done.deployments} deployments, {done.builds} builds, {keys}")
    if done.locked:
        click.echo(
            "The key of the variables is not in it: keep variables.key, or MINIFN_VARIABLES_KEY,"
            " too."
        )
    if done.left_out:
        click.echo(
            f"minifn: {done.left_out} deployments are left out: their archives are not complete",
            err=True,
        )


@click.command()
@click.argument("file", type=GivenPath(exists=True, dir_okay=False, path_type=Path))
@settings(("data",))
def restore(file: Path, data: str | None) -> None:
    """Put the backup FILE into a new or empty data directory."""
    directory = DataDir(configuration(data=data).data)
    done = _done(lambda: backups.restore(file, directory))
    click.echo(
        f"{directory.root}: {done.deployments} deployments; the first start takes the"
        f" {done.builds} builds that are in the backup if they fit this machine, and makes others"
        " again"
    )
    if done.locked:
        click.echo(
            f"Before that start, put variables.key into {directory.root}, or set"
            " MINIFN_VARIABLES_KEY to its value."
        )


def _done(work: Callable[[], backups.Summary]) -> backups.Summary:
    try:
        return work()
    except (backups.BackupError, DatabaseTooNew, OSError) as error:
        fail(str(error))
    except sqlite3.Error as error:
        fail(f"the database cannot be copied: {error}")
