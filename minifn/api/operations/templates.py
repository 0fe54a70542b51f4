"""Function templates and deployments of them: a starter function for each language.

The starters are minifn's own code, under Appwrite's names, and are bundled with it, so that they
need no network. Other templates are fetched from the repositories that MINIFN_TEMPLATES names.
"""

from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer
from minifn.api.wire.operation import FUNCTIONS_WRITE, PUBLIC, Call, Operation
from minifn.api.wire.params import Boolean, Id, Integer, ListOf, OneOf, Params, Text
from minifn.errors import (
    ArgumentInvalid,
    FunctionEntrypointMissing,
    FunctionNotFound,
    FunctionTemplateNotFound,
    ProviderRepositoryNotFound,
)
from minifn.git import template_source
from minifn.models import Deployment, DeploymentType
from minifn.services.deployments import Template
from minifn.store.git_sources import Source

USE_CASES = ("dev-tools", "starter", "databases", "ai", "messaging", "utilities")

OWNER, REPOSITORY = "appwrite", "templates"
_STARTER: dict[str, Any] = {
    "icon": "icon-lightning-bolt",
    "id": "starter",
    "name": "Starter function",
    "tagline": "The smallest function that answers a request.",
    "permissions": ["any"],
    "events": [],
    "cron": "",
    "timeout": 15,
    "useCases": ["starter"],
    "runtimes": [],
    "instructions": "Each has a README in its code.",
    "vcsProvider": "github",
    "providerRepositoryId": REPOSITORY,
    "providerOwner": OWNER,
    "providerVersion": "0.2.*",
    "variables": [],
    "scopes": [],
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of a repository, at a branch, commit or tag."""

    #: "owner/name".
    repository: str
    root_directory: str
    type: str
    reference: str


class CreateTemplateDeployment(Params, frozen=True, kw_only=True):
    """A template, by its repository, folder and reference.

    Bundled templates have one version, which every reference means. Tags of others may be globs.
    """

    function_id: Annotated[str, Id()]
    repository: Annotated[str, Text(128)]
    owner: Annotated[str, Text(128)]
    root_directory: Annotated[str, Text(128, 0)]
    type: Annotated[str, OneOf(("commit", "branch", "tag"))] = "tag"
    reference: Annotated[str, Text(128)] = ""
    #: The name of the reference in 1.8.
    version: Annotated[str, Text(128)] = ""
    activate: Annotated[bool, Boolean(loose=True)] = False


class ListTemplates(Params, frozen=True, kw_only=True):
    """A page of templates for any of the runtimes and any of the use cases."""

    runtimes: Annotated[tuple[str, ...], ListOf(OneOf(lambda limits: limits.runtimes))] = ()
    use_cases: Annotated[tuple[str, ...], ListOf(OneOf(USE_CASES))] = ()
    limit: Annotated[int, Integer(1, 5000)] = 25
    offset: Annotated[int, Integer(0, 5000)] = 0
    total: Annotated[bool, Boolean(loose=True)] = True


class OneTemplate(Params, frozen=True, kw_only=True):
    """A template's id."""

    template_id: Annotated[str, Text(128)]


def _templates(call: Call) -> list[dict[str, Any]]:
    table = call.parts.runtimes
    starters = table.starters()
    runtimes = [
        {
            "name": runtime.id,
            "commands": starters[runtime.key][0].commands,
            "entrypoint": starters[runtime.key][0].entrypoint,
            "providerRootDirectory": _folder(runtime.key),
        }
        for runtime in table.runnable()
        if runtime.key in starters
    ]
    return [{**_STARTER, "runtimes": runtimes}]


async def list_templates(call: Call, params: ListTemplates) -> ASGIApp:
    """List templates."""
    found = [
        template
        for template in _templates(call)
        if (not params.use_cases or set(params.use_cases) & set(template["useCases"]))
        and (
            not params.runtimes
            or set(params.runtimes) & {runtime["name"] for runtime in template["runtimes"]}
        )
    ]
    page = found[params.offset : params.offset + params.limit]
    return json_answer(responses.listing("templates", len(found) if params.total else 0, page))


async def get_template(call: Call, params: OneTemplate) -> ASGIApp:
    """Return a template."""
    for template in _templates(call):
        if template["id"] == params.template_id:
            return json_answer(template)
    raise FunctionTemplateNotFound


def _folder(key: str) -> str:
    """Return the folder of a family's starter, as in github.com/appwrite/templates."""
    return f"{key}/starter"


def find(call: Call, wanted: Wanted) -> Template | Source:
    """Return a bundled template, or the source of another.

    Raises ProviderRepositoryNotFound and ArgumentInvalid.
    """
    root_directory = wanted.root_directory.removeprefix("./").strip("/")
    for key, (starter, folder) in call.parts.runtimes.starters().items():
        if (wanted.repository, root_directory) == (f"{OWNER}/{REPOSITORY}", _folder(key)):
            return Template(
                folder=folder,
                entrypoint=starter.entrypoint,
                owner=OWNER,
                repository=REPOSITORY,
                url=f"https://github.com/{OWNER}/{REPOSITORY}",
            )
    return template_source(
        call.parts.config, wanted.repository, root_directory, wanted.type, wanted.reference
    )


async def deploy(
    call: Call,
    function_id: str,
    template: Template | Source,
    *,
    activate: bool,
    kind: DeploymentType = "vcs",
) -> Deployment:
    """Deploy the result of `find`, and return the deployment. `kind` is for bundled templates.

    Raises FunctionNotFound and FunctionEntrypointMissing.
    """
    if isinstance(template, Source):
        return await call.parts.git.deploy_template(function_id, template, activate=activate)
    return await call.parts.deployments.add_template(
        function_id, template, activate=activate, kind=kind
    )


async def deploy_template(call: Call, params: CreateTemplateDeployment) -> ASGIApp:
    """Deploy a template."""
    if not (params.reference or params.version):
        raise ArgumentInvalid.missing("reference")
    await call.parts.functions.get(params.function_id)
    wanted = Wanted(
        repository=f"{params.owner}/{params.repository}",
        root_directory=params.root_directory,
        type=params.type,
        reference=params.reference or params.version,
    )
    deployment = await deploy(
        call, params.function_id, find(call, wanted), activate=params.activate
    )
    return json_answer(responses.deployment(deployment, call.shape), 202)


OPERATIONS = (
    Operation(
        name="functions.listTemplates",
        method="GET",
        path="/functions/templates",
        scopes=PUBLIC,
        params=ListTemplates,
        handler=list_templates,
    ),
    Operation(
        name="functions.getTemplate",
        method="GET",
        path="/functions/templates/{templateId}",
        scopes=PUBLIC,
        params=OneTemplate,
        handler=get_template,
        errors=(FunctionTemplateNotFound,),
    ),
    Operation(
        name="functions.createTemplateDeployment",
        method="POST",
        path="/functions/{functionId}/deployments/template",
        scopes=FUNCTIONS_WRITE,
        params=CreateTemplateDeployment,
        handler=deploy_template,
        statuses=(202,),
        model="deployment",
        errors=(FunctionNotFound, ProviderRepositoryNotFound, FunctionEntrypointMissing),
    ),
)
