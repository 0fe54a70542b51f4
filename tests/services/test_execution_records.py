"""The records of executions."""

import pytest

from minifn.services.execution_records import rounded


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, 0.0),
        (0.000123456, 0.00012),
        (0.00123456, 0.00123),
        (0.0999999, 0.1),
        (1.23456789, 1.23),
        (899.9, 900.0),
    ],
)
def test_a_duration_has_three_digits(seconds: float, expected: float) -> None:
    assert rounded(seconds) == expected
