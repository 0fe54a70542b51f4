"""Function templates: the starter functions that Appwrite publishes, one per language."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api import responses
from minifn.api.answers import json_answer
from minifn.api.operations import PUBLIC, Call, Operation
from minifn.api.params import Integer, ListOf, OneOf, Params, Text
from minifn.errors import FunctionTemplateNotFound

USE_CASES = ("dev-tools", "starter", "databases", "ai", "messaging", "utilities")

#: Language -> (install commands, entrypoint, folder) in the repository github.com/appwrite/templates.
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


class ListTemplates(Params, frozen=True, kw_only=True):
    """Which templates: for any of the runtimes and any of the use cases."""

    runtimes: Annotated[tuple[str, ...], ListOf(OneOf(lambda limits: limits.runtimes))] = ()
    use_cases: Annotated[tuple[str, ...], ListOf(OneOf(USE_CASES))] = ()
    limit: Annotated[int, Integer(1, 5000)] = 25
    offset: Annotated[int, Integer(0, 5000)] = 0


class OneTemplate(Params, frozen=True, kw_only=True):
    """Which template."""

    template_id: Annotated[str, Text(128)]


def _templates(call: Call) -> list[dict[str, Any]]:
    runtimes = [
        {"name": runtime.id, "commands": commands, "entrypoint": entrypoint, "providerRootDirectory": folder}
        for runtime in call.minifn.runtimes.runnable()
        for key, (commands, entrypoint, folder) in _STARTERS.items()
        if runtime.key == key
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
            "instructions": "Each language's folder of github.com/appwrite/templates has a README.",
            "vcsProvider": "github",
            "providerRepositoryId": "templates",
            "providerOwner": "appwrite",
            "providerVersion": "0.2.*",
            "variables": [],
            "scopes": ["users.read"],
        }
    ]


async def list_templates(call: Call, params: ListTemplates) -> ASGIApp:
    """List templates. The total is that of the page, as in Appwrite."""
    found = [
        template
        for template in _templates(call)
        if (not params.use_cases or set(params.use_cases) & set(template["useCases"]))
        and (not params.runtimes or set(params.runtimes) & {runtime["name"] for runtime in template["runtimes"]})
    ][params.offset : params.offset + params.limit]
    return json_answer(responses.listing("templates", len(found), found))


async def get_template(call: Call, params: OneTemplate) -> ASGIApp:
    """Return a template."""
    for template in _templates(call):
        if template["id"] == params.template_id:
            return json_answer(template)
    raise FunctionTemplateNotFound


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
    ),
)
