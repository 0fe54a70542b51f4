"""The files of a deployment's source, as they were uploaded."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.operations.build_logs import OneDeployment, find
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import FUNCTIONS_READ, Call, Operation
from minifn.api.wire.params import Text
from minifn.archive import ArchiveUnreadable
from minifn.errors import BadRequest, DeploymentNotFound


class OneFile(OneDeployment, frozen=True, kw_only=True):
    """The path of a file in the archive of a deployment."""

    path: Annotated[str, Text(1024)]


async def list_files(call: Call, params: OneDeployment) -> ASGIApp:
    """List the files of a deployment's archive: `path`, `size` in bytes, and `binary`."""
    files = await _read(call, params.deployment_id)
    return json_answer({"total": len(files), "files": files})


async def get_content(call: Call, params: OneFile) -> ASGIApp:
    """Return one file of a deployment's archive as text: `path`, `size` and `content`."""
    return json_answer(await _read(call, params.deployment_id, params.path))


async def _read(call: Call, deployment_id: str, *wanted: str) -> Any:
    deployment = await find(call, deployment_id)
    try:
        return await call.parts.deployments.files(deployment.function_id, deployment.id, *wanted)
    except ArchiveUnreadable as exc:
        raise BadRequest(str(exc)) from exc


_FILES = "/minifn/deployments/{deploymentId}/files"

OPERATIONS = (
    Operation(
        name="minifn.listFiles",
        method="GET",
        path=_FILES,
        scopes=FUNCTIONS_READ,
        params=OneDeployment,
        handler=list_files,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        errors=(BadRequest, DeploymentNotFound),
    ),
    Operation(
        name="minifn.getFile",
        method="GET",
        path=f"{_FILES}/content",
        scopes=FUNCTIONS_READ,
        params=OneFile,
        handler=get_content,
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        errors=(BadRequest, DeploymentNotFound),
    ),
)
