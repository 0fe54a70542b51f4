"""The deployments of a function, as source archives that the target builds itself.

A deployment is there already when one of the same size has the same end: the last bytes of a gzip
file are the checksum and the length of its content (RFC 1952, 2.3.1).
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minifn.cli.migrate.sides import Abilities, Record, Report, Sides, active_id
from minifn.cli.remote import Remote, RemoteError
from minifn.cli.uploading import built, send

#: Bytes of an archive's end that are compared.
END_BYTES = 65_536
#: Seconds for the build of a deployment that becomes active.
BUILD_SECONDS = 1200.0
#: Called with a word for the step, the bytes that are done, and all there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Awaited:
    """A deployment of the target that becomes active once it is built."""

    source_id: str
    deployment: Record
    #: Whether this run sent it.
    sent: bool


def move_deployments(
    sides: Sides,
    function: Record,
    target: Record | None,
    which: str,
    report: Report,
    progress: Progress,
) -> Awaited | None:
    """Send the archives that are not there, oldest first; return the one to be activated.

    `which` is `active` or `all`. Raises RemoteError.
    """
    there = list(_listed(sides.target, function["$id"])) if target else []
    awaited = None
    for deployment in _chosen(sides.source, function, which, report):
        active = deployment["$id"] == active_id(function)
        try:
            known = _same(sides, function["$id"], deployment, there)
            sent = None
            if known is None and not sides.dry_run:
                sent = _send(sides, deployment, active, report.function_id, progress)
        except RemoteError as error:
            report.failed(f"deployment {deployment['$id']}", error)
            continue
        if known is None:
            report.deployments.new += 1
        else:
            there.remove(known)
        if sent is not None and active:
            awaited = Awaited(deployment["$id"], sent, sent=True)
        elif known is not None and active and known["$id"] != active_id(target or {}):
            report.deployments.changed += 1
            awaited = Awaited(deployment["$id"], known, sent=False)
        elif known is not None:
            report.deployments.same += 1
    return awaited


def _chosen(remote: Remote, function: Record, which: str, report: Report) -> list[Record]:
    """Return the deployments to move, the oldest first. Raises RemoteError."""
    active = active_id(function)
    if which == "active":
        path = f"/functions/{function['$id']}/deployments/{active}"
        return [remote.call("GET", path)] if active else []
    listed = list(_listed(remote, function["$id"]))
    ready = [one for one in listed if one["status"] == "ready" or one["$id"] == active]
    if len(ready) < len(listed):
        report.notes.append(f"{len(listed) - len(ready)} deployments were never ready: left out")
    return sorted(ready, key=lambda one: str(one["$createdAt"]))


def _listed(remote: Remote, function_id: str) -> Iterable[Record]:
    return remote.pages(f"/functions/{function_id}/deployments", "deployments", plain=True)


def _same(
    sides: Sides, function_id: str, deployment: Record, there: Iterable[Record]
) -> Record | None:
    """Return the deployment of the target with this archive, None without one."""
    alike = [one for one in there if _size(one) == _size(deployment)]
    if not alike:
        return None
    end = _end(sides.source, function_id, deployment)
    for one in alike:
        try:
            if _end(sides.target, function_id, one) == end:
                return one
        except RemoteError as error:
            # An upload that was broken off has no archive.
            if not error.status:
                raise
    return None


def _size(deployment: Record) -> int:
    return int(deployment.get("sourceSize") or deployment.get("size") or 0)


def _end(remote: Remote, function_id: str, deployment: Record) -> bytes:
    """Return the last bytes of an archive. Raises RemoteError."""
    last = _size(deployment) - 1
    path = f"/functions/{function_id}/deployments/{deployment['$id']}/download"
    first = max(0, last + 1 - END_BYTES)
    asked = {"range": f"bytes={first}-{last}", "accept-encoding": "identity"}
    # A server that knows no ranges answers with all.
    return remote.request("GET", path, headers=asked).content[-END_BYTES:]


def _send(
    sides: Sides, deployment: Record, active: bool, function_id: str, progress: Progress
) -> Record:
    """Copy one archive through a temporary file and return the new deployment."""
    path, size = f"/functions/{function_id}/deployments", _size(deployment)
    fields = {"activate": "true" if active else "false"}
    if deployment["entrypoint"]:
        fields["entrypoint"] = deployment["entrypoint"]
    with tempfile.TemporaryFile() as file:
        download = f"{path}/{deployment['$id']}/download"
        sides.source.download(download, file, lambda done: progress("downloading", done, size))
        if file.tell() != size or not size:
            raise RemoteError(f"its archive has {file.tell()} bytes instead of {size}", 502)
        return send(
            sides.target, path, file, fields, lambda done, all: progress("uploading", done, all)
        )


def activate(sides: Sides, target: Record, awaited: Awaited, report: Report) -> None:
    """Make a deployment the one that answers, once it is built. Raises RemoteError."""
    try:
        changed = _activated(sides, target, awaited.deployment)
    except RemoteError as error:
        report.failed(f"deployment {awaited.source_id}", error)
        changed = False
    if not changed and not awaited.sent:
        report.deployments.changed -= 1
        report.deployments.same += 1


def _activated(sides: Sides, target: Record, deployment: Record) -> bool:
    """Activate a deployment, once it is built; tell whether another one was active.

    Raises RemoteError, also for a build that failed.
    """
    path = f"/functions/{target['$id']}"
    done = built(sides.target, deployment, time.monotonic() + BUILD_SECONDS)
    if done["status"] != "ready":
        last = (str(done.get("buildLogs") or "").strip().splitlines() or [""])[-1]
        raise RemoteError(f"its build {done['status']} at the target: {last}".rstrip(": "), 500)
    if active_id(sides.target.call("GET", path)) == deployment["$id"]:
        return False
    if Abilities.of(target).since_1_7:
        body = {"deploymentId": deployment["$id"]}
        sides.target.call("PATCH", f"{path}/deployment", json=body)
    else:
        sides.target.call("PATCH", f"{path}/deployments/{deployment['$id']}")
    return True
