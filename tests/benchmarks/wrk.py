"""wrk as the load generator: it takes far less of the machine than `load.py`, where it is there."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Sends the same bytes again and again, and prints what `load.py` prints.
_SCRIPT = """
local bytes = %s
request = function() return bytes end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%%d,"seconds":%%f,"p50_ms":%%f,"p99_ms":%%f,"errors":{"status":%%d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def is_there() -> bool:
    """Tell whether wrk is on PATH."""
    return shutil.which("wrk") is not None


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do a job of `load.py` that has no limit of requests. Statuses below 400 count as right."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        # JSON's text of ASCII is a text of Lua.
        script.write_text(_SCRIPT % json.dumps(job["request"]))
        connections, seconds = f"-c{job['connections']}", f"-d{max(1, round(job['seconds']))}s"
        url = f"http://{job['host']}:{job['port']}"
        command = ["wrk", "-t1", connections, seconds, "--latency", "-s", str(script), url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.partition("\nRESULT ")[2])
    result["errors"] = {name: count for name, count in result["errors"].items() if count}
    return result
