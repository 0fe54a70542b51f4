"""`kill -9` around ticks and due executions: no minute ticks twice, and no execution is lost."""

import faulthandler
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minifn.instants import parse_instant
from tests.crash.invariants import check_database, gone, relatives
from tests.crash.test_kill import SEED
from tests.serving import Server, pack

MINUTE = 60
SCHEDULED = tuple(f"ticker-{number}" for number in range(5))
PLANNED = "planned"
CODE = {"main.py": b"def main(context):\n    return context.res.empty()\n"}
ROUNDS = 2


@pytest.mark.slow
def test_kill_around_ticks(data: Path) -> None:
    # pytest stops a hanging test earlier.
    faulthandler.cancel_dump_traceback_later()
    instants = random.Random(SEED)
    print(f"CRASH_SEED={SEED}")
    server = Server(data)
    asked: set[str] = set()
    with server, server.api as api:
        for name in (*SCHEDULED, PLANNED):
            schedule = "" if name == PLANNED else "* * * * *"
            api.create(name, api.runtime("python"), entrypoint="main.py", schedule=schedule)
            api.deploy(name, pack(extra=CODE))
    for _ in range(ROUNDS):
        # Time to start and to schedule executions, at least a minute ahead, as the API requires.
        tick = (time.time() // MINUTE + 2) * MINUTE
        moment = datetime.fromtimestamp(tick, UTC).isoformat()
        with server, server.api as api:
            asked |= {api.enqueue(PLANNED, scheduledAt=moment)["$id"] for _ in range(30)}
            time.sleep(max(0.0, tick + instants.uniform(-0.01, 0.1) - time.time()))
            before = relatives(server)
            server.kill()
            gone(before, server)
            check_database(data)
    with server, server.api as api:
        for execution_id in asked:
            # The kill may have interrupted some.
            assert api.finished(PLANNED, execution_id)["status"] in ("completed", "failed")
        assert {
            row["$id"] for row in api.pages(f"/functions/{PLANNED}/executions", "executions")
        } == asked
        for name in SCHEDULED:
            rows = list(api.pages(f"/functions/{name}/executions", "executions"))
            assert {row["trigger"] for row in rows} <= {"schedule"}
            minutes = [parse_instant(row["$createdAt"]) // (MINUTE * 1000) for row in rows]
            # Each tick has at most one.
            assert len(set(minutes)) == len(minutes), minutes
