"""Function templates, and deployments made of them: a starter function for each language, named as Appwrite names its.

The code is minifn's own and comes with it, so that a template is deployed without a network. Templates of other
repositories are fetched from where MINIFN_TEMPLATES says.
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
#: Language -> (install commands, entrypoint, folder) as in the repository github.com/appwrite/templates.
_STARTERS = {
    "node": ("npm install", "src/main.js", "node/starter"),
    "python": ("pip install -r requirements.txt", "src/main.py", "python/starter"),
    "dart": ("dart pub get", "lib/main.dart", "dart/starter"),
    "go": ("", "main.go", "go/starter"),
    "php": ("composer install", "src/index.php", "php/starter"),
    "bun": ("bun install", "src/main.ts", "bun/starter"),
    "ruby": ("bundle install", "lib/main.rb", "ruby/starter"),
    "deno": ("deno cache src/main.ts", "src/main.ts", "deno/starter"),
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which folder of which state of a repository."""

    #: Its owner and its name.
    repository: str
    root_directory: str
    type: str
    reference: str


class CreateTemplateDeployment(Params, frozen=True, kw_only=True):
    """Which template. What is bundled has one version, which goes by every reference; other tags may be globs."""

    function_id: Annotated[str, Id()]
    repository: Annotated[str, Text(128)]
    owner: Annotated[str, Text(128)]
    root_directory: Annotated[str, Text(128, 0)]
    type: Annotated[str, OneOf(("commit", "branch", "tag"))] = "tag"
    reference: Annotated[str, Text(128)] = ""
    #: What 1.8 calls the reference.
    version: Annotated[str, Text(128)] = ""
    activate: Annotated[bool, Boolean(loose=True)] = False


class ListTemplates(Params, frozen=True, kw_only=True):
    """Which templates: for any of the runtimes and any of the use cases."""

    runtimes: Annotated[tuple[str, ...], ListOf(OneOf(lambda limits: limits.runtimes))] = ()
    use_cases: Annotated[tuple[str, ...], ListOf(OneOf(USE_CASES))] = ()
    limit: Annotated[int, Integer(1, 5000)] = 25
    offset: Annotated[int, Integer(0, 5000)] = 0
    total: Annotated[bool, Boolean(loose=True)] = True


class OneTemplate(Params, frozen=True, kw_only=True):
    """Which template."""

    template_id: Annotated[str, Text(128)]


def _templates(call: Call) -> list[dict[str, Any]]:
    runtimes = [
        {
            "name": runtime.id,
            "commands": commands,
            "entrypoint": entrypoint,
            "providerRootDirectory": folder,
        }
        for runtime in call.parts.runtimes.runnable()
        for key, (commands, entrypoint, folder) in _STARTERS.items()
        if runtime.key == key and call.parts.runtimes.starter(key)
    ]
    return [
        {
            "icon": "icon-lightning-bolt",
            "id": "starter",
            "name": "Starter function",
            "tagline": "The smallest function that answers a request, to begin from.",
            "permissions": ["any"],
            "events": [],
            "cron": "",
            "timeout": 15,
            "useCases": ["starter"],
            "runtimes": runtimes,
            "instructions": "Each has a README in its code.",
            "vcsProvider": "github",
            "providerRepositoryId": REPOSITORY,
            "providerOwner": OWNER,
            "providerVersion": "0.2.*",
            "variables": [],
            "scopes": [],
        }
    ]


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


def find(call: Call, wanted: Wanted) -> Template | Source:
    """Return a bundled template, or where to fetch another. Raises ProviderRepositoryNotFound and ArgumentInvalid."""
    root_directory = wanted.root_directory.removeprefix("./").strip("/")
    for key, (_, entrypoint, root) in _STARTERS.items():
        folder = call.parts.runtimes.starter(key)
        if folder is not None and (wanted.repository, root_directory) == (
            f"{OWNER}/{REPOSITORY}",
            root,
        ):
            url = f"https://github.com/{OWNER}/{REPOSITORY}"
            return Template(
                folder=folder, entrypoint=entrypoint, owner=OWNER, repository=REPOSITORY, url=url
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
    """Deploy what `find` returned, and return the deployment; `kind` is that of a bundled template's.

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
