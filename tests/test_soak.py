"""A short soak; the long form is `python -m tests.soak`."""

from pathlib import Path

import pytest

from tests.soak import HOSTILE, soak

SECONDS = 12
#: The machine of a test run does other things too, so this finds a stall and no slowness.
STALL_SECONDS = 2.0


@pytest.mark.slow
def test_mixed_load_leaves_no_traces(data: Path) -> None:
    observed = soak(data, SECONDS)
    print(observed.report())
    assert observed.problems() == []
    assert {"sync", "async", "builds", "deletes", *HOSTILE} <= set(observed.counts)
    assert max(observed.loaded) < STALL_SECONDS
