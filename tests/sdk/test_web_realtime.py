"""The web SDK's `subscribe`: the older one names channels in the URL, the newer in messages."""

from pathlib import Path

import pytest

from tests.sdk.install import WEB_VERSIONS, place
from tests.sdk.test_sdks import INSTALL, SCRIPTS, run_script
from tests.serving import FUNCTIONS, Api, Server, pack


@pytest.mark.parametrize("version", WEB_VERSIONS)
def test_subscribe(version: str, server: Server, api: Api, tmp_path: Path, node: str) -> None:
    if not place("web", version).exists():
        pytest.skip(f"appwrite {version} for the web is not installed: {INSTALL}")
    function_id = f"heard-{version.replace('.', '-')}"
    api.create(function_id, api.runtime("python"), entrypoint="main.py", execute=["users"])
    api.deploy(function_id, pack(FUNCTIONS / "mirror"))
    script = tmp_path / "page.mjs"
    script.write_bytes((SCRIPTS / "web_realtime.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(place("web", version) / "node_modules")
    argv = [node, "--experimental-websocket", "--no-warnings", str(script)]
    assert (
        run_script(argv, server, {"FUNCTION": function_id}, tmp_path).splitlines()[-1]
        == "heard completed"
    )
