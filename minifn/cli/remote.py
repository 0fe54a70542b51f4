"""A small client of the public HTTP API, which deploys a folder as a function."""

import asyncio
import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

#: Statuses of a deployment whose build has ended.
FINAL = ("ready", "failed", "canceled")
#: Folders that a build makes again or does not use.
LEFT_OUT = frozenset({"node_modules", "__pycache__", ".git", ".venv", ".appwrite"})
#: Keys of an entry of `appwrite.json` that are parameters of a function; others are about its code.
SETTINGS = (
    "name", "runtime", "specification", "execute", "events", "scopes", "schedule", "timeout",
    "enabled", "logging", "entrypoint", "commands",
)  # fmt: skip


class RemoteError(Exception):
    """The server answered with an error, or did not answer; the message is one line."""


class Remote:
    """Calls a server with a project's key. An async context manager. `endpoint` ends in `/v1`."""

    def __init__(self, endpoint: str, project: str, key: str) -> None:
        headers = {"x-appwrite-project": project, "x-appwrite-key": key}
        self._http = httpx.AsyncClient(
            base_url=endpoint, headers=headers, timeout=60, trust_env=False
        )

    async def __aenter__(self) -> "Remote":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and return its JSON. Raises RemoteError."""
        try:
            answer = await self._http.request(method, path, **options)
        except httpx.HTTPError as exc:
            raise RemoteError(f"{method} {path}: {exc or type(exc).__name__}") from exc
        if answer.is_error:
            raise RemoteError(f"{method} {path}: {answer.status_code} {_message(answer)}")
        return answer.json() if answer.content else None

    async def runtimes(self) -> list[dict[str, Any]]:
        """Return the runtimes this server can run."""
        listed = await self.call("GET", "/functions/runtimes")
        return list(listed["runtimes"])

    async def deploy(
        self, entry: Mapping[str, Any], folder: Path, deadline: float
    ) -> dict[str, Any]:
        """Create the function of `entry` from the code in `folder`; return its built deployment.

        `entry` is one of `functions` in `appwrite.json`; `deadline` is on the clock of
        `time.monotonic`. Raises RemoteError.
        """
        function_id = entry["$id"]
        settings = {name: entry[name] for name in SETTINGS if name in entry}
        await self.call("POST", "/functions", json={"functionId": function_id, **settings})
        for variable in entry.get("vars", ()):
            await self.call("POST", f"/functions/{function_id}/variables", json=variable)
        path = f"/functions/{function_id}/deployments"
        code = await asyncio.to_thread(pack, folder)
        deployment = await self.call(
            "POST", path, files={"code": ("code.tar.gz", code)}, data={"activate": "true"}
        )
        pause_seconds = 0.02
        while deployment["status"] not in FINAL:
            if time.monotonic() > deadline:
                raise RemoteError(f"the build of {function_id} is still {deployment['status']}")
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.3, 1)
            deployment = await self.call("GET", f"{path}/{deployment['$id']}")
        return dict(deployment)


def pack(folder: Path) -> bytes:
    """Return a `.tar.gz` of the content of `folder`, except LEFT_OUT."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, arcname=".", filter=_kept)
    return packed.getvalue()


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name in LEFT_OUT else member


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
