"""The steps of a deployment: the function's settings, its variables, its code and its build."""

import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from minifn.archive.packing import NothingToPack, pack_folder
from minifn.cli.project_file import SETTINGS, FunctionEntry
from minifn.cli.remote import Remote, RemoteError
from minifn.limits import CHUNK_BYTES

#: Statuses of a deployment whose build has ended.
FINAL = ("ready", "failed", "canceled")
#: Largest pause between two looks at a deployment, seconds.
PAUSE_SECONDS_MAX = 1.0
#: Called with the bytes that were sent, and all there are.
Progress = Callable[[int, int], None]


def no_progress(sent: int, total: int) -> None:
    """Show nothing."""


def save(remote: Remote, entry: FunctionEntry) -> None:
    """Create the function, or give it the settings of its entry; others stay. Raises RemoteError.

    An existing function keeps all settings when it is deployed from a bare folder.
    """
    if not entry.folder.is_dir():
        raise RemoteError(f"the folder of {entry.id} is missing: {entry.folder}")
    path = f"/functions/{entry.id}"
    try:
        current = remote.call("GET", path)
    except RemoteError as error:
        if error.type != "function_not_found":
            raise
        remote.call("POST", "/functions", json={"functionId": entry.id, **entry.settings})
    else:
        wanted = _merged(current, entry.settings)
        if entry.file is not None and any(wanted[name] != current.get(name) for name in wanted):
            remote.call("PUT", path, json=wanted)
    _save_variables(remote, entry)


def _merged(current: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the current settings with those that are given."""
    merged = {name: current[name] for name in SETTINGS if name in current}
    if "specification" in given:
        # It is the old name of both.
        del merged["buildSpecification"], merged["runtimeSpecification"]
    for name, other in (("schedule", "interval"), ("interval", "schedule")):
        if given.get(name):
            merged.pop(other, None)
    return {**merged, **given}


def _save_variables(remote: Remote, entry: FunctionEntry) -> None:
    path = f"/functions/{entry.id}/variables"
    if not entry.variables:
        return
    known = {one["key"]: one for one in remote.pages(path, "variables")}
    for variable in entry.variables:
        save_variable(remote, path, known.get(variable["key"]), variable)


def save_variable(
    remote: Remote, path: str, known: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> None:
    """Create a variable, or change the one that is `known`. Raises RemoteError.

    `wanted` has key, value and secret. The value of a secret variable is not known, so it is sent
    each time; such a variable stays secret.
    """
    if known is None:
        remote.call("POST", path, json=wanted)
    elif known["secret"] or known["value"] != wanted["value"] or wanted["secret"]:
        secret = {"secret": True} if wanted["secret"] else {}
        changed = {"key": wanted["key"], "value": wanted["value"], **secret}
        remote.call("PUT", f"{path}/{known['$id']}", json=changed)


def upload(
    remote: Remote,
    entry: FunctionEntry,
    *,
    activate: bool = True,
    message: str = "",
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Pack the folder, send it, in chunks when it is large, and return the deployment.

    Raises RemoteError.
    """
    fields = {"activate": "true" if activate else "false"}
    fields |= {"message": message} if message else {}
    fields |= {name: entry.settings[name] for name in ("entrypoint",) if entry.settings.get(name)}
    path = f"/functions/{entry.id}/deployments"
    with tempfile.TemporaryFile() as packed:
        try:
            pack_folder(entry.folder, packed, entry.ignore)
        except (NothingToPack, OSError) as error:
            raise RemoteError(str(error)) from error
        return send(remote, path, packed, fields, progress)


def send(
    remote: Remote, path: str, packed: IO[bytes], fields: Mapping[str, str], progress: Progress
) -> dict[str, Any]:
    """Send an archive that was just written, in chunks when it is large; return the deployment.

    Raises RemoteError.
    """
    total = packed.tell()
    packed.seek(0)
    deployment: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for first in range(0, total, CHUNK_BYTES):
        part = packed.read(CHUNK_BYTES)
        if total > CHUNK_BYTES:
            headers["content-range"] = f"bytes {first}-{first + len(part) - 1}/{total}"
        if deployment:
            headers["x-appwrite-id"] = deployment["$id"]
        files = {"code": ("code.tar.gz", part)}
        deployment = remote.call("POST", path, files=files, data=fields, headers=headers)
        progress(first + len(part), total)
    return deployment


def follow(
    remote: Remote, deployment: Mapping[str, Any], show: Callable[[str], None]
) -> dict[str, Any]:
    """Show a build's log as it is written, from the beginning; return the built deployment.

    Raises RemoteError.
    """
    for event in remote.events(f"/minifn/build-logs/{deployment['$id']}"):
        if event.name == "log":
            show(str(event.data["text"]))
    return built(remote, deployment)


def built(
    remote: Remote, deployment: Mapping[str, Any], deadline: float | None = None
) -> dict[str, Any]:
    """Return a deployment once its build has ended.

    `deadline` is on the clock of `time.monotonic`. Raises RemoteError, also when it is over.
    """
    path = f"/functions/{deployment['resourceId']}/deployments/{deployment['$id']}"
    pause_seconds = 0.02
    current = remote.call("GET", path)
    while current["status"] not in FINAL:
        if deadline is not None and time.monotonic() > deadline:
            raise RemoteError(f"the build of {current['resourceId']} is still {current['status']}")
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.3, PAUSE_SECONDS_MAX)
        current = remote.call("GET", path)
    return dict(current)


def deploy(remote: Remote, entry: FunctionEntry, deadline: float) -> dict[str, Any]:
    """Do all steps and return the deployment, whose build has ended. Raises RemoteError."""
    save(remote, entry)
    return built(remote, upload(remote, entry), deadline)
