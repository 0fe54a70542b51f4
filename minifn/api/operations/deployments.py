"""Deployments: upload, list, activate, rebuild, cancel, delete and download, as in 1.6 and 1.8."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

from starlette.types import ASGIApp

from minifn.api.operations import functions
from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.downloads import FileAnswer
from minifn.api.wire.formats import Shape
from minifn.api.wire.kinds import QueryTexts
from minifn.api.wire.operation import FUNCTIONS_READ, FUNCTIONS_WRITE, Call, Operation
from minifn.api.wire.params import Boolean, Id, Integer, OneOf, Params, Text
from minifn.api.wire.queries import read_selection
from minifn.archive.uploads import kind_of
from minifn.errors import (
    BuildAlreadyCompleted,
    BuildNotReady,
    CursorNotFound,
    DatabaseTimeout,
    DeploymentInvalidFileSize,
    DeploymentNotFound,
    FunctionEntrypointMissing,
    FunctionNotFound,
    QueryInvalid,
    StorageFileEmpty,
    StorageFileTypeUnsupported,
    StorageInvalidContentRange,
    StorageInvalidFileSize,
    StorageInvalidRange,
    UserUnauthorized,
)
from minifn.instants import format_instant
from minifn.services.uploads import Upload
from minifn.store import deployments

#: The archives of a deployment: the uploaded source, and the output of its build.
DOWNLOADS = ("source", "output")

_DEPLOYMENT = "/functions/{functionId}/deployments/{deploymentId}"


class CreateDeployment(Params, frozen=True, kw_only=True):
    """The settings of an upload; the archive is the file `code`."""

    function_id: Annotated[str, Id()]
    entrypoint: Annotated[str | None, Text(1028)] = None
    commands: Annotated[str | None, Text(8192, 0)] = None
    activate: Annotated[bool, Boolean(loose=True)]
    #: minifn's own: a note, in the field of a commit's message.
    message: Annotated[str, Text(1000, 0)] = ""


class ListDeployments(Params, frozen=True, kw_only=True):
    """A page of a function's deployments."""

    function_id: Annotated[str, Id()]
    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneDeployment(Params, frozen=True, kw_only=True):
    """A deployment of a function; the id is in the path, or in the body since 1.8."""

    function_id: Annotated[str, Id()]
    deployment_id: Annotated[str, Id()]


class Download(OneDeployment, frozen=True, kw_only=True):
    """An archive of a deployment: its source, or the output of its build."""

    type: Annotated[str, OneOf(DOWNLOADS)] = "source"
    #: Replaces an API key.
    token: Annotated[str, Text(2048, 0)] = ""


class CreateToken(OneDeployment, frozen=True, kw_only=True):
    """The archive that a token is for, and the token's lifetime in seconds."""

    type: Annotated[str, OneOf(DOWNLOADS)] = "source"
    duration: Annotated[int, Integer(1, 86_400)] = 900


async def create(call: Call, params: CreateDeployment) -> ASGIApp:
    """Upload an archive, or one chunk of it."""
    upload = Upload(
        function_id=params.function_id,
        code=call.files.get("code"),
        slice=call.files.get("file"),
        activate=params.activate,
        entrypoint=params.entrypoint,
        commands=params.commands,
        content_range=call.header(b"content-range") or None,
        message=params.message,
        deployment_id=call.header(b"x-appwrite-id"),
        sdk_language=call.header(b"x-sdk-language"),
    )
    return json_answer(responses.deployment(await call.parts.uploads.take(upload), call.shape), 202)


async def list_deployments(call: Call, params: ListDeployments) -> ASGIApp:
    """List a function's deployments."""
    query, select = read_selection(params.queries, call.shape, params.search)
    await call.parts.functions.get(params.function_id)
    found = await call.parts.database.read_list(
        deployments.page, params.function_id, query, count=params.total
    )
    items = [responses.deployment(item, call.shape) for item in found.items]
    if select and "*" not in select:
        items = [
            {key: item[key] for key in item if key[0] == "$" or key in select} for item in items
        ]
    return json_answer(responses.listing("deployments", found.total, items))


async def get(call: Call, params: OneDeployment) -> ASGIApp:
    """Return a deployment."""
    await call.parts.functions.get(params.function_id)
    found = await call.parts.database.read(
        deployments.get, params.function_id, params.deployment_id
    )
    if found is None:
        raise DeploymentNotFound
    return json_answer(responses.deployment(found, call.shape))


async def activate(call: Call, params: OneDeployment) -> ASGIApp:
    """Make a deployment the function's active one."""
    function = await call.parts.deployments.activate(params.function_id, params.deployment_id)
    return await functions.answer(call, function)


async def delete(call: Call, params: OneDeployment) -> ASGIApp:
    """Delete a deployment with its files."""
    await call.parts.deployments.delete(params.function_id, params.deployment_id)
    return no_content()


async def rebuild(call: Call, params: OneDeployment) -> ASGIApp:
    """Build a deployment's archive again, as a new deployment.

    Clients before 1.7 get an empty answer.
    """
    deployment = await call.parts.deployments.rebuild(params.function_id, params.deployment_id)
    if call.shape < Shape.V1_8:
        return no_content()
    return json_answer(responses.deployment(deployment, call.shape), 202)


async def cancel(call: Call, params: OneDeployment) -> ASGIApp:
    """Stop a build."""
    deployment = await call.parts.deployments.cancel(params.function_id, params.deployment_id)
    return json_answer(responses.deployment(deployment, call.shape))


async def cancel_build(call: Call, params: OneDeployment) -> ASGIApp:
    """Stop a build, at the path of 1.6.

    Clients before 1.7 get the build, later ones the deployment.
    """
    deployment = await call.parts.deployments.cancel(params.function_id, params.deployment_id)
    before = call.shape < Shape.V1_8
    return json_answer(
        responses.build(deployment) if before else responses.deployment(deployment, call.shape)
    )


async def download(call: Call, params: Download) -> ASGIApp:
    """Send an archive to a caller with the scope, or with a token for it."""
    verify = call.parts.tokens.verify_download
    if not (
        call.has_scope(FUNCTIONS_READ) or verify(params.token, params.deployment_id, params.type)
    ):
        raise UserUnauthorized("The token is not for this archive, or has expired.")
    return await _sent(call, params, call.shape)


async def _sent(call: Call, params: Download, shape: Shape) -> ASGIApp:
    """Return the archive under the file name of the client's version."""
    path = await _archive(call, params, params.type)
    suffix, content_type = ".tar.gz", "application/gzip"
    try:
        if await asyncio.to_thread(kind_of, path) == "zip":
            suffix, content_type = ".zip", "application/zip"
        name = f"{params.deployment_id}{suffix}"
        if shape is Shape.FULL and params.type == "output":
            name = f"{params.deployment_id}-output-code{suffix}"
            content_type = "application/octet-stream"
        elif shape >= Shape.V1_8:
            name = f"{params.deployment_id}-{params.type}{suffix}"
        return await asyncio.to_thread(FileAnswer, path, name, call.header(b"range"), content_type)
    except FileNotFoundError as exc:
        raise DeploymentNotFound from exc


async def _archive(call: Call, params: OneDeployment, kind: str) -> Path:
    """Return the file of an archive. Raises FunctionNotFound and DeploymentNotFound."""
    service = call.parts.deployments
    return await (service.source if kind == "source" else service.output)(
        params.function_id, params.deployment_id
    )


async def download_build(call: Call, params: OneDeployment) -> ASGIApp:
    """Send the output of a build, at the path of the console of 1.6."""
    output = Download(
        function_id=params.function_id, deployment_id=params.deployment_id, type="output"
    )
    return await _sent(call, output, min(call.shape, Shape.V1_9))


async def create_token(call: Call, params: CreateToken) -> ASGIApp:
    """Create a token that lets guests download one archive of a deployment until it expires."""
    await _archive(call, params, params.type)
    expires = int(time.time()) + params.duration
    token = call.parts.tokens.mint_download(params.deployment_id, params.type, expires)
    return json_answer(
        {"token": token, "type": params.type, "expire": format_instant(expires * 1000)}, 201
    )


OPERATIONS = (
    Operation(
        name="functions.listDeployments",
        method="GET",
        path="/functions/{functionId}/deployments",
        scopes=FUNCTIONS_READ,
        params=ListDeployments,
        handler=list_deployments,
        model="deployments",
        errors=(FunctionNotFound, CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="functions.createDeployment",
        method="POST",
        path="/functions/{functionId}/deployments",
        scopes=FUNCTIONS_WRITE,
        params=CreateDeployment,
        handler=create,
        statuses=(202,),
        model="deployment",
        errors=(
            FunctionNotFound,
            FunctionEntrypointMissing,
            StorageFileEmpty,
            StorageFileTypeUnsupported,
            StorageInvalidContentRange,
            StorageInvalidFileSize,
            DeploymentInvalidFileSize,
            DeploymentNotFound,
        ),
        upload=True,
    ),
    Operation(
        name="functions.createDuplicateDeployment",
        method="POST",
        path="/functions/{functionId}/deployments/duplicate",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=rebuild,
        statuses=(202, 204),
        model="deployment",
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.updateFunctionDeployment",
        method="PATCH",
        path="/functions/{functionId}/deployment",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=activate,
        model="function",
        errors=(FunctionNotFound, DeploymentNotFound, BuildNotReady),
    ),
    Operation(
        name="functions.getDeployment",
        method="GET",
        path=_DEPLOYMENT,
        scopes=FUNCTIONS_READ,
        params=OneDeployment,
        handler=get,
        model="deployment",
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.updateDeployment",
        method="PATCH",
        path=_DEPLOYMENT,
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=activate,
        model="function",
        errors=(FunctionNotFound, DeploymentNotFound, BuildNotReady),
    ),
    Operation(
        name="functions.deleteDeployment",
        method="DELETE",
        path=_DEPLOYMENT,
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=delete,
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.getDeploymentDownload",
        method="GET",
        path=f"{_DEPLOYMENT}/download",
        scopes=FUNCTIONS_READ,
        presigned=True,
        params=Download,
        handler=download,
        statuses=(200, 206),
        content_types=("application/gzip", "application/zip", "application/octet-stream"),
        errors=(FunctionNotFound, DeploymentNotFound, StorageInvalidRange, UserUnauthorized),
    ),
    Operation(
        name="functions.createDeploymentToken",
        method="POST",
        path=f"{_DEPLOYMENT}/token",
        scopes=FUNCTIONS_READ,
        params=CreateToken,
        handler=create_token,
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.getBuildDownload",
        method="GET",
        path=f"{_DEPLOYMENT}/build/download",
        scopes=FUNCTIONS_READ,
        params=OneDeployment,
        handler=download_build,
        statuses=(200, 206),
        content_types=("application/gzip",),
        errors=(FunctionNotFound, DeploymentNotFound, StorageInvalidRange),
    ),
    Operation(
        name="functions.updateDeploymentStatus",
        method="PATCH",
        path=f"{_DEPLOYMENT}/status",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=cancel,
        model="deployment",
        errors=(FunctionNotFound, DeploymentNotFound, BuildAlreadyCompleted),
    ),
    Operation(
        name="functions.createBuild",
        method="POST",
        path=f"{_DEPLOYMENT}/build",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=rebuild,
        statuses=(202, 204),
        model="deployment",
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.createBuildOfBuild",
        method="POST",
        path=f"{_DEPLOYMENT}/builds/{{buildId}}",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=rebuild,
        statuses=(202, 204),
        model="deployment",
        errors=(FunctionNotFound, DeploymentNotFound),
    ),
    Operation(
        name="functions.updateDeploymentBuild",
        method="PATCH",
        path=f"{_DEPLOYMENT}/build",
        scopes=FUNCTIONS_WRITE,
        params=OneDeployment,
        handler=cancel_build,
        errors=(FunctionNotFound, DeploymentNotFound, BuildAlreadyCompleted),
    ),
)
