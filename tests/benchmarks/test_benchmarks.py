"""The benchmarks count every answer once, name wrong ones, and report missed targets."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from minifn.languages.table import default_root
from tests.benchmarks import loop_steps, pages, parts, wrk
from tests.benchmarks.bare import PROGRAMS
from tests.benchmarks.language_rows import BASE, Samples, listing
from tests.benchmarks.rates import load
from tests.benchmarks.report import Row, at_most, compared, read, table, write
from tests.benchmarks.targets import PORT, Target, bare_uvicorn, lacking, peer


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


def test_a_peer_that_ends_is_not_waited_for() -> None:
    with (
        pytest.raises(AssertionError, match="none ended with code 3"),
        peer("none", [sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pytest.fail("it answers")


@pytest.mark.skipif(not lacking(), reason="functions-framework is installed")
def test_a_missing_peer_is_named_at_once() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "rates"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install -e '.[benchmarks]'" in done.stderr


@pytest.mark.parametrize(("value", "verdict"), [(9.9, "ok"), (10.0, "MISSED")])
def test_the_table_shows_missed_targets(value: float, verdict: str) -> None:
    text = table([Row(what="no promise", value="1"), at_most("a page", value, 10, "ms")])
    assert [line.split()[-1] for line in text.splitlines()] == ["1", verdict]


def test_wrk_counts_like_the_generator_of_the_tests() -> None:
    if not wrk.is_there():
        pytest.skip("wrk is not on PATH: install the package wrk")
    with bare_uvicorn() as target:
        job = {"host": "127.0.0.1", "port": target.port, "connections": 2, "seconds": 1}
        right = wrk.measure({**job, "request": target.request})
        assert right["requests"] > 10
        assert right["errors"] == {}
        assert 0 < right["p50_ms"] <= right["p99_ms"]
        wrong = wrk.measure({**job, "request": target.request.replace("name", "mane")})
        assert wrong["errors"]["status"] > 0


def test_a_run_is_compared_with_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write(file, {"rates": [Row.of("a", {"cpu_us": 40.0}), Row(what="b", value="no figures")]})
    later = [Row.of("a", {"cpu_us": 20.0, "p99_ms": 1.0}), Row.of("new", {"cpu_us": 1.0})]
    texts = [row.value for row in compared(later, read(file)["rates"])]
    assert texts[0].endswith("(earlier: cpu 0.50x)")
    assert "earlier" not in texts[1]


def test_a_row_alone_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS_BEFORE", 64)
    monkeypatch.setattr(parts, "ROWS", 64)
    cpu, log = parts.row_alone(tmp_path / "rows.db")
    assert 0 < cpu.figures["value_us"] < 10_000
    assert 300 < log.figures["value_bytes"] < 100_000


def test_every_page_of_a_long_list_is_made(tmp_path: Path) -> None:
    with contextlib.closing(pages.build(tmp_path / "minifn.db", 200)) as conn:
        found = list(pages.listings(conn, 200))
        assert len({listing.name for listing in found}) == len(found) > 10_000
        for listing in found[:: len(found) // 40]:
            assert 0 < pages.page_ms(conn, listing) < 1000 * pages.GIVE_UP_SECONDS


@pytest.mark.slow
def test_the_steps_of_the_event_loop_are_measured(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_steps, "SLICE_REQUESTS", 128)
    monkeypatch.setattr(loop_steps, "SLICES", 2)
    whole, *steps = loop_steps.measure(data, "auto")
    assert whole.figures["cpu_us"] > 0
    names = {row.what.removeprefix("event loop: ") for row in steps}
    assert names == {*loop_steps.STEPS, *loop_steps.TASK}
    assert sum(row.figures["share_%"] for row in steps) == pytest.approx(100)


@pytest.mark.parametrize("words", [[], ["hop"]], ids=["alone", "hop"])
def test_the_floor_answers_as_the_peers_do(words: list[str]) -> None:
    with peer("floor", [sys.executable, "protocol.py", PORT, *words]) as target:
        assert load(target, connections=2, seconds=5, limit=50).errors == {}


def test_load_opens_connections_that_the_server_closes() -> None:
    # It speaks HTTP/1.0.
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", PORT]
    with peer("http.server", argv, method="GET", closes=True) as target:
        rate = load(target, connections=4, seconds=5, limit=50)
    assert (rate.requests, rate.errors) == (50, {})


def test_every_language_has_a_server_of_its_own_to_compare_with() -> None:
    starters = {path.parent.name for path in default_root().glob("*/starter")}
    assert {path.stem.lower() for path in PROGRAMS.iterdir()} == starters


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "ok"), (3.0, "MISSED")])
def test_languages_are_compared_with_the_base(factor: float, verdict: str) -> None:
    samples = Samples()
    for quantity in ("cold", "rate", "cpu", "pss", "workers", "idle", "build", "compiler"):
        for value in (1.0, 2.0, 30.0):
            samples.add(BASE, quantity, value)
    for quantity in ("cold", "cpu", "idle", "build"):
        samples.add("php", quantity, 2 * factor / (2 if quantity == "idle" else 1))
    for quantity, value in (("rate", 2 / factor), ("pss", 30 * factor), ("workers", 1)):
        samples.add("php", quantity, value)
    samples.add("php", "compiler", 2)
    rows = [row for row in listing([BASE, "php"], samples) if row.what.startswith("php")]
    assert [line.split()[-1] for line in table(rows).splitlines()] == [verdict] * 6


def test_a_missing_figure_is_no_verdict() -> None:
    samples = Samples()
    samples.add(BASE, "rate", 100)
    samples.no_server["go"] = "go exited with 1"
    rows = listing([BASE, "go"], samples)
    assert {row.passed for row in rows} == {None}
    assert any("own server go exited with 1" in row.value for row in rows)
