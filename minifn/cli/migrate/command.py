"""`minifn migrate`: what moves, the bars while it moves, and the table at the end."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from minifn.cli.connecting import FunctionId, Session, note, with_server
from minifn.cli.finding import address
from minifn.cli.migrate.deployments import Awaited, activate, move_deployments
from minifn.cli.migrate.domains import Domains
from minifn.cli.migrate.secret_values import SecretValues
from minifn.cli.migrate.settings import move_settings
from minifn.cli.migrate.sides import OtherServer, Record, Report, Sides, active_id
from minifn.cli.migrate.variables import listed, move_variables
from minifn.cli.options import fail
from minifn.cli.remote import RemoteError
from minifn.cli.tables import Column, console, show_table

DEPLOYMENTS = ("active", "all", "none")
COLUMNS = (
    Column(heading="function"),
    Column(heading="state"),
    Column(heading="settings", drop=2),
    Column(heading="variables", drop=3),
    Column(heading="domains", drop=4),
    Column(heading="deployments", drop=1),
)


@click.command()
@click.argument("function_ids", metavar="[FUNCTION]...", nargs=-1, type=FunctionId())
@click.option("--from", "source", metavar="ENDPOINT", help="the source server")
@click.option("--to", "target", metavar="ENDPOINT", help="the target server")
@click.option("--other-project", required=True, metavar="ID", help="the project there")
@click.option(
    "--other-key",
    required=True,
    envvar="MINIFN_OTHER_KEY",
    metavar="KEY",
    help="an API key of it  [MINIFN_OTHER_KEY]",
)
@click.option("--dry-run", is_flag=True, help="change nothing, and show what would change")
@click.option(
    "--deployments",
    "which",
    type=click.Choice(DEPLOYMENTS),
    default="active",
    show_default=True,
    help="the deployments that move",
)
@with_server
def migrate(
    session: Session,
    function_ids: tuple[str, ...],
    source: str | None,
    target: str | None,
    other_project: str,
    other_key: str,
    dry_run: bool,
    which: str,
) -> None:
    """Move functions from or to another server of Appwrite's API.

    Settings, variables, domains and deployments move; what is there already stays. After an
    interruption, the same command goes on. Without FUNCTION all functions move.
    """
    if bool(source) == bool(target):
        fail("give one of --from ENDPOINT and --to ENDPOINT", status=2)
    url = address(source or target or "", "--from" if source else "--to")
    if (url, other_project) == (session.found.url, session.found.project):
        fail(f"both sides are the project {other_project} of {url}", status=2)
    with OtherServer(url, other_project, other_key) as other:
        ends = (other, session.remote) if source else (session.remote, other)
        sides = Sides(source=ends[0], target=ends[1], dry_run=dry_run)
        values = SecretValues(None if source else session.found.data)
        migration = Migration(sides, which, values, quiet=session.as_json)
        reports = migration.run(function_ids)
    _show(session, reports, dry_run)
    if migration.broken:
        note(f"minifn: {migration.broken}: the same command goes on from here")
    if migration.broken or any(report.problems for report in reports):
        sys.exit(1)


class Migration:
    """Moves functions one after the other; their builds at the target are awaited at the end."""

    def __init__(self, sides: Sides, which: str, values: SecretValues, *, quiet: bool) -> None:
        self._sides = sides
        self._which = which
        self._values = values
        self._domains = Domains(sides)
        #: Deployments that the target builds meanwhile.
        self._awaited: list[tuple[Report, Record, Awaited]] = []
        #: The message of a server that stopped answering.
        self.broken = ""
        screen = console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=screen,
            transient=True,
            disable=quiet or not screen.is_terminal,
        )

    def run(self, function_ids: Sequence[str]) -> list[Report]:
        """Move functions, all without ids; return the outcomes. Raises RemoteError at the start."""
        functions = list(self._functions(function_ids))
        missing = set(function_ids) - {function["$id"] for function in functions}
        reports = [
            Report(one, problems=["the source has no such function"]) for one in sorted(missing)
        ]
        with self._bars:
            for number, function in enumerate(functions, 1):
                report = Report(function["$id"])
                reports.append(report)
                with self._working(report, f"{number}/{len(functions)} {function['$id']}"):
                    self._move(function, report)
                if self.broken:
                    return reports
            for number, (report, target, awaited) in enumerate(self._awaited, 1):
                label = f"{number}/{len(self._awaited)} {report.function_id} building"
                with self._working(report, label):
                    activate(self._sides, target, awaited, report)
                if self.broken:
                    break
        return reports

    @contextlib.contextmanager
    def _working(self, report: Report, label: str) -> Iterator[None]:
        """Show a bar, and note the error of the work."""
        self._label, self._task = label, self._bars.add_task(label, total=None)
        self._bars.refresh()
        try:
            yield
        except RemoteError as error:
            report.problems.append(str(error))
            if not error.status:
                self.broken = str(error)
        finally:
            self._bars.remove_task(self._task)

    def _functions(self, function_ids: Sequence[str]) -> Iterator[Record]:
        for function in self._sides.source.pages("/functions", "functions", plain=True):
            if not function_ids or function["$id"] in function_ids:
                yield function

    def _move(self, function: Record, report: Report) -> None:
        sides = self._sides
        target = move_settings(sides, function, report)
        rows = list(listed(sides.source, function))
        secret = any(row.get("secret") for row in rows)
        values = self._values.of(function["$id"]) if secret else {}
        move_variables(sides, rows, target, values, report)
        self._domains.move(function, target, report)
        if self._which != "none":
            awaited = move_deployments(
                sides, function, target, self._which, report, self._progressed
            )
            if awaited is not None and target is not None and not sides.dry_run:
                self._awaited.append((report, target, awaited))
        report.scheduled = _runs_by_itself(function) and (
            self._which != "none" or bool(target and active_id(target))
        )

    def _progressed(self, step: str, done: int, total: int) -> None:
        self._bars.update(
            self._task,
            description=f"{self._label} {step}",
            completed=done,
            total=total or None,
            refresh=True,
        )


def _runs_by_itself(function: Record) -> bool:
    starts = function.get("schedule") or function.get("interval")
    return bool(function["enabled"] and active_id(function) and starts)


def _show(session: Session, reports: Sequence[Report], dry_run: bool) -> None:
    if session.as_json:
        session.show([{**dataclasses.asdict(one), "state": one.state} for one in reports])
        return
    show_table(COLUMNS, [_row(report) for report in reports], styled=1)
    for report in reports:
        for line in (*report.problems, *report.notes):
            note(f"minifn: {report.function_id}: {line}")
    scheduled = [report.function_id for report in reports if report.scheduled]
    if scheduled and not dry_run:
        note(
            f"minifn: {', '.join(scheduled)}: the schedule runs at both sides until the function is"
            " disabled at one"
        )
    if dry_run:
        note("a dry run: nothing was changed")
    elif not any(report.changed for report in reports):
        done = not any(report.problems for report in reports)
        note(f"nothing was changed{': the target has all that can be moved' if done else ''}")


def _row(report: Report) -> list[str]:
    counts = (report.variables, report.domains, report.deployments)
    return [report.function_id, report.state, report.settings or "-", *map(str, counts)]
