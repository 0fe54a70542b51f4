"""A function calls another one by its domain below `localhost`."""

from pathlib import Path

import pytest

from tests.serving import Api, Server, pack

ECHO = b"def main(context):\n    return context.res.text('reached ' + context.req.host)\n"
PYTHON = b"""
import asyncio
import socket
import urllib.request

def main(context):
    url = context.req.body_text
    name = url.split("/")[2].split(":")[0]
    looked_up = socket.getaddrinfo(name.upper() + ".", 80, proto=socket.IPPROTO_TCP)[0][4][0]
    try:
        socket.getaddrinfo("names.invalid", 80)
    except socket.gaierror:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return context.res.text(answer.read().decode() + " " + looked_up)
"""
NODE = b"""
const dns = require("dns");
const { promisify } = require("util");

module.exports = async ({ req, res }) => {
  const name = new URL(req.bodyText).hostname;
  const { address } = await promisify(dns.lookup)(name);
  const text = await (await fetch(req.bodyText)).text();
  return res.text(`${text} ${address}`);
};
"""


@pytest.fixture(params=["auto", "process"])
def called(request: pytest.FixtureRequest, data: Path) -> Server:
    return Server(data, sandbox=request.param)


def test_domains_resolve_in_functions(called: Server) -> None:
    with called as server, server.api as api:
        api.create("echo", api.runtime("python"), entrypoint="main.py", execute=["any"])
        api.deploy("echo", pack(extra={"main.py": ECHO}))
        url = f"http://echo.functions.localhost:{server.port}/"
        for family, file, code in (("python", "main.py", PYTHON), ("node", "main.js", NODE)):
            assert reached(api, family, file, code, url) in (
                "reached echo.functions.localhost 127.0.0.1",
                "reached echo.functions.localhost ::1",
            )


def reached(api: Api, family: str, file: str, code: bytes, url: str) -> str:
    """Deploy a function and return its answer to the URL."""
    try:
        runtime = api.runtime(family)
    except LookupError:
        pytest.skip(f"{family} is not on PATH")
    api.create(f"by-{family}", runtime, entrypoint=file)
    api.deploy(f"by-{family}", pack(extra={file: code}))
    execution = api.execute(f"by-{family}", body=url)
    assert execution["status"] == "completed", execution["errors"]
    return str(execution["responseBody"])
