"""The whole table."""

from tests.runtimes.contract import answers, failures, hostile, load, logs, requests
from tests.runtimes.contract.table import Case, Load

ROWS: tuple[Case | Load, ...] = (
    *requests.ROWS,
    *answers.ROWS,
    *failures.ROWS,
    *logs.ROWS,
    *hostile.ROWS,
    *load.ROWS,
)
