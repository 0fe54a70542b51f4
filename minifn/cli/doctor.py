"""`minifn doctor`: the report of minifn.doctor as a table."""

import sys
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from minifn.cli.options import configuration, settings
from minifn.cli.tables import console
from minifn.doctor import Report, drop_shared as remove_shared, examine
from minifn.log_text import printable

COLOURS = {"ON": "green", "DEGRADED": "yellow", "OFF": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print the report as JSON")
@click.option(
    "--drop-shared", is_flag=True, help="first remove the files that functions of a toolchain share"
)
@settings(("data", "sandbox", "network", "runtime_paths"))
def doctor(as_json: bool, drop_shared: bool, **flags: str | None) -> None:
    """Show what works on this machine, and how to repair the rest."""
    config = configuration(**flags)
    if drop_shared:
        count = remove_shared(config)
        click.echo(f"removed the shared files of {count} toolchains", err=True)
    report = examine(config)
    if as_json:
        click.echo(report.as_json())
    else:
        show(report)
    sys.exit(0 if report.works else 1)


def show(report: Report) -> None:
    """Print the report as a table, and below it the remedies."""
    screen = console()
    home = f"{Path.home()}/"
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "", "state", "found"):
        table.add_column(heading, overflow="fold")
    group = ""
    for check in report.checks:
        shown_group = check.group if check.group != group else ""
        group = check.group
        state = Text(check.state, style=COLOURS[check.state])
        table.add_row(
            Text(shown_group, style="bold"),
            Text(check.name),
            state,
            Text(printable(check.detail.replace(home, "~/"))),
        )
    screen.print(table)
    for check in report.checks:
        if check.remedy:
            screen.print(
                Text(
                    printable(f"{check.name}: {check.remedy}"),
                    style="bold red" if check.fatal else "",
                )
            )
    verdict = "minifn serve will work here." if report.works else "Something required is missing."
    screen.print(Text(f"\n{verdict}", style="bold"))
