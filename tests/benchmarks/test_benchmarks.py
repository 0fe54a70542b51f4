"""The benchmarks count every answer once, name wrong ones, and report missed targets."""

import pytest

from tests.benchmarks.rates import load
from tests.benchmarks.report import Row, at_most, table
from tests.benchmarks.targets import Target, bare_uvicorn


def test_load_counts_every_answer() -> None:
    with bare_uvicorn() as target:
        rate = load(target, connections=4, seconds=5, limit=200)
        assert rate.requests == 200
        assert rate.errors == {}
        assert 0 < rate.p50_ms <= rate.p99_ms
        assert rate.cpu_us >= 0
        wrong = Target(
            name="", port=target.port, request=target.request, status=201, pid=target.pid
        )
        assert load(wrong, connections=1, seconds=5, limit=3).errors == {"200": 3}


@pytest.mark.parametrize(("value", "verdict"), [(9.9, "ok"), (10.0, "MISSED")])
def test_the_table_shows_missed_targets(value: float, verdict: str) -> None:
    text = table([Row(what="no promise", value="1"), at_most("a page", value, 10, "ms")])
    assert [line.split()[-1] for line in text.splitlines()] == ["1", verdict]
