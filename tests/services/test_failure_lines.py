"""A failed execution and a failed build are one line of the server's log."""

from pathlib import Path

from tests.serving import Server, pack

MAIN = b"""
import os

def main(context):
    if context.req.path == "/raise":
        raise ValueError("no \\x1b[31mstock\\nsecond line")
    if context.req.path == "/said":
        context.error("first\\nsecond")
        return context.res.text("", 503)
    if context.req.path == "/exit":
        os._exit(3)
    return context.res.text("", 500 if context.req.path == "/silent" else 404)
"""


def test_every_failure_is_one_line_that_names_it(data: Path) -> None:
    with Server(data) as server, server.api as api:
        api.create("shop", api.runtime("python"), entrypoint="main.py")
        api.deploy("shop", pack(extra={"main.py": MAIN}))
        said = {
            "/raise": r"ValueError: no \x1b[31mstock",
            "/said": "first",
            "/exit": "The function's process exited with code 3 before it answered.",
            "/silent": "the function answered 500",
        }
        wanted = []
        for path, problem in said.items():
            ran = api.execute("shop", path=path)
            queued = api.finished("shop", api.enqueue("shop", path=path)["$id"])
            wanted += [
                f"execution {one['$id']} of function shop failed: {problem}"
                for one in (ran, queued)
            ]
        answered = api.execute("shop", path="/missing")
        assert (answered["status"], answered["responseStatusCode"]) == ("completed", 404)
        failed = api.upload("shop", pack(extra={"main.py": b"def main(:\n"}))["$id"]
        assert api.built("shop", failed)["status"] == "failed"
        lines = [
            line.partition(" WARNING ")[2]
            for line in server.log.read_text().splitlines()
            if " of function shop failed: " in line
        ]
    *executions, build = [line.partition(": ")[2] for line in lines]
    assert executions == wanted
    assert build.startswith(f"build of deployment {failed} of function shop failed: ")
    assert "does not parse" in build
