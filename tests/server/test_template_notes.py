"""The build log says why workers of a deployment start without a template."""

from pathlib import Path

import pytest

from tests.serving import Server, pack, wait_until

MAIN = b"""
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()

def main(context):
    return context.res.text("ok")
"""
NOTE = "workers start without a template"
LINE = "\nWorkers start without a template: its import started threads.\n"


@pytest.mark.usefixtures("bwrap")
def test_the_build_log_has_the_reason_once(tmp_path: Path) -> None:
    with Server(tmp_path / "data", template_memory=-1, idle_seconds=1) as server, server.api as api:
        api.create("threads", api.runtime("python"), entrypoint="main.py")
        deployment_id = api.deploy("threads", pack(extra={"main.py": MAIN}))["$id"]

        def logs() -> str:
            path = f"/functions/threads/deployments/{deployment_id}"
            return str(api.call("GET", path, 200)["buildLogs"])

        before = logs()
        assert LINE not in before
        assert api.execute("threads")["responseBody"] == "ok"
        wait_until(lambda: LINE in logs(), 20, "the reason")
        # The workers start anew, so the reason is found again.
        variable = {"variableId": "a", "key": "A", "value": "b"}
        api.call("POST", "/functions/threads/variables", 201, json=variable)
        assert api.execute("threads")["responseBody"] == "ok"
        wait_until(lambda: server.log_tail().count(NOTE) == 2, 20, "the reason again")
        assert logs() == before + LINE
