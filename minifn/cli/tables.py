"""Tables for people: they fit the terminal, and colours are for terminals alone."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minifn.log_text import printable

#: Width of output that is not printed to a terminal, characters.
WIDTH = 200
#: Spaces between two columns.
GAP = 2
#: State -> its colour.
COLOURS = {
    "ready": "green",
    "active": "green",
    "completed": "green",
    "building": "yellow",
    "processing": "yellow",
    "waiting": "yellow",
    "failed": "red",
    "disabled": "dim",
    "empty": "dim",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    heading: str
    right: bool = False
    #: Columns with high numbers are left out first when the terminal is narrow; 0 = never.
    drop: int = 0
    #: Characters to which a long text may be cut; 0 = never.
    cut: int = 0


def console(*, stderr: bool = False) -> Console:
    """Return a console; a file or a pipe has no width, and no line of theirs is wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    shown = stream.isatty() or "COLUMNS" in os.environ
    size = shutil.get_terminal_size()
    # Without a height rich takes a terminal of the kind "dumb" for one of 80 columns.
    return Console(
        file=stream, highlight=False, width=size.columns if shown else WIDTH, height=size.lines
    )


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], styled: int = -1) -> None:
    """Print rows of texts, with the colours of states in the column number `styled`.

    Columns are left out, then cells cut, until the table fits.
    """
    screen = console()
    cells = [[_line(text) for text in row] for row in rows]
    widths = _fitting(columns, cells, screen.width)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for number, width in widths.items():
        column = columns[number]
        table.add_column(
            column.heading,
            width=width,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(
            *(
                Text(row[number], style=COLOURS.get(row[number], "") if number == styled else "")
                for number in widths
            )
        )
    screen.print(table)


def show_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, one a line."""
    screen = console()
    width = max(map(len, facts), default=0) + GAP
    for name, value in facts.items():
        text = Text.assemble((name.ljust(width), "bold"), printable(value).rstrip())
        screen.print(text, soft_wrap=True)


def _fitting(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> dict[int, int]:
    """Return the numbers of the columns that fit into `width`, and their widths."""
    natural = [
        max(map(cell_len, (column.heading, *(row[number] for row in rows))))
        for number, column in enumerate(columns)
    ]
    widths = {
        number: min(natural[number], column.cut or natural[number])
        for number, column in enumerate(columns)
    }
    for number in sorted(widths, key=lambda number: -columns[number].drop):
        if columns[number].drop and _total(widths) > width:
            del widths[number]
    for number in widths:
        widths[number] += max(0, min(natural[number] - widths[number], width - _total(widths)))
    return widths


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _line(text: str) -> str:
    return " ".join(printable(text).split())
