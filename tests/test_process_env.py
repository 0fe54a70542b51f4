"""The server's address and variables in functions."""

import pytest

from minifn.config import authority
from minifn.process_env import can_be_set


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),
        ("::", "[::1]:80"),
        ("::1", "[::1]:80"),
        ("box", "box:80"),
    ],
)
def test_a_wildcard_is_reached_by_loopback(host: str, reached: str) -> None:
    """No client can connect to a wildcard address."""
    assert authority(host, 80) == reached


def test_names_that_no_system_takes_are_known() -> None:
    """Such a name would keep a process from starting."""
    assert can_be_set("A", "=")
    assert not can_be_set("", "x")
    assert not can_be_set("A=B", "x")
    assert not can_be_set("A", "x\0")
