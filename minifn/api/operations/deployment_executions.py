"""Executions of one deployment, whether or not it is its function's active one."""

from typing import Annotated

import msgspec
from starlette.types import ASGIApp

from minifn.api.operations.build_logs import OneDeployment, find
from minifn.api.operations.execution_access import Body
from minifn.api.operations.executions import METHODS, answered
from minifn.api.wire.kinds import RequestHeaders
from minifn.api.wire.operation import EXECUTIONS_WRITE, Call, Operation
from minifn.api.wire.params import OneOf, Text
from minifn.errors import BuildNotReady, DeploymentNotFound, FunctionSynchronousTimeout, Overloaded
from minifn.models import ExecutionRequest, Headers
from minifn.services.executions import check_ready


class CreateExecution(OneDeployment, frozen=True, kw_only=True):
    """The request for a deployment."""

    body: Annotated[bytes, Body()] = b""
    path: Annotated[str, Text(2048)] = "/"
    method: Annotated[str, OneOf(METHODS)] = "POST"
    headers: Annotated[Headers, RequestHeaders()] = ()


async def create(call: Call, params: CreateExecution) -> ASGIApp:
    """Run a deployment that is ready, with the function's present settings and variables.

    The execution is one of the function, and the active deployment stays active.
    """
    deployment = await find(call, params.deployment_id)
    if deployment.build_removed:
        raise BuildNotReady("The build of this deployment was removed. Activate it to build it.")
    active = await call.parts.targets.of(deployment.function_id)
    target = msgspec.structs.replace(
        active,
        function=msgspec.structs.replace(active.function, deployment_id=deployment.id),
        deployment=msgspec.structs.replace(deployment, build_logs=""),
    )
    check_ready(target)
    request = ExecutionRequest(
        method=params.method,
        path=params.path,
        headers=params.headers,
        body=params.body,
        client_ip=call.client_ip,
        depth=call.caller.depth,
    )
    return answered(call, await call.parts.executions.execute(target, request))


OPERATIONS = (
    Operation(
        name="minifn.createExecution",
        method="POST",
        path="/minifn/deployments/{deploymentId}/executions",
        scopes=EXECUTIONS_WRITE,
        params=CreateExecution,
        handler=create,
        statuses=(201,),
        needs_project=False,
        for_restricted=True,
        keys_only=True,
        model="execution",
        errors=(DeploymentNotFound, BuildNotReady, FunctionSynchronousTimeout, Overloaded),
    ),
)
