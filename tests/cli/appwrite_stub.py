"""A strict stand-in for Appwrite's Functions and rules, which runs nothing.

Real servers of 1.6 and 2.x are containers that no test can start. This one knows the operations,
parameters and models of their OpenAPI files (`tests/data`), refuses everything else, and notes it.
The additions of 2.x to the file of 1.8 are from the release notes of 1.9 and 2.x.
"""

import itertools
import json
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DATA = Path(__file__).parents[1] / "data"
KEY = "stub-key-0123456789"
PROJECT = "elsewhere"
NEWER_SETTINGS = {
    "buildSpecification": "string",
    "runtimeSpecification": "string",
    "providerBranches": ["string"],
    "providerPaths": ["string"],
    "deploymentRetention": "integer",
    "interval": "integer",
    "description": "string",
}
RULES = {
    "1.6": {"/proxy/rules": {"domain", "resourceType", "resourceId"}},
    "2.5": {
        "/proxy/rules/function": {"domain", "functionId", "branch"},
        "/proxy/rules/redirect": {"domain", "url", "statusCode", "resourceId", "resourceType"},
    },
}
#: Types in the models -> the value of a new record.
EMPTY = {"string": "", "integer": 0, "boolean": False}
CHUNK_BYTES = 5 * 1024 * 1024
#: Operations that send an archive.
ARCHIVES = ("functionsCreateDeployment", "functionsGetDeploymentDownload")


class Refused(Exception):
    """An error of the API; `noted` when a right client causes none such."""

    def __init__(self, status: int, type: str, message: str, *, noted: bool = True) -> None:
        super().__init__(message)
        self.status, self.type, self.noted = status, type, noted


@dataclass
class Stub:
    """One server of a version, `1.6` or `2.5`, with what it holds."""

    version: str
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    deployments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    archives: dict[str, bytes] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    #: Requests that a client of this version must not send.
    wrong: list[str] = field(default_factory=list)
    #: Requests other than GET that were taken.
    writes: list[str] = field(default_factory=list)
    #: Uploads that are still taken; then the server is out of order.
    uploads_left: int = 1000
    build_status: str = "ready"
    #: Answers to downloads and uploads end early: the server is killed while it sends them.
    dies: bool = False
    url: str = ""

    def __post_init__(self) -> None:
        file = "1.6" if self.version == "1.6" else "1.8"
        contract = json.loads((DATA / f"appwrite-functions-{file}.json").read_text())
        self.operations = {(one["method"], one["path"]): one for one in contract["operations"]}
        self.models = contract["models"]
        self._numbers = itertools.count(1)
        if self.version != "1.6":
            self._renew()

    def _renew(self) -> None:
        self.models["function"] |= {**NEWER_SETTINGS, "startCommand": "string"}
        del self.models["function"]["specification"]
        self.models["variable"]["description"] = "string"
        for one in self.operations.values():
            if one["id"] in ("functionsCreate", "functionsUpdate"):
                one["body"] = [*set(one["body"]) - {"specification"}, *NEWER_SETTINGS]
            if one["id"] in ("functionsCreateVariable", "functionsUpdateVariable"):
                one["body"] += ["description", "variableId"]
            if one["id"] == "functionsListVariables":
                one["query"] += ["queries", "total"]

    @property
    def names(self) -> dict[str, str]:
        """The names of this version for the active deployment and the size of an archive."""
        old = self.version == "1.6"
        return {
            "active": "deployment" if old else "deploymentId",
            "size": "size" if old else "sourceSize",
        }

    def new(self, model: str, **values: Any) -> dict[str, Any]:
        """Return a record with the keys of a model and no others."""
        number = next(self._numbers)
        made = {
            name: EMPTY[kind] if isinstance(kind, str) else []
            for name, kind in self.models[model].items()
        }
        at = f"2026-01-01T00:00:{number % 60:02}.000+00:00"
        made |= {"$id": f"{number:020x}", "$createdAt": at, "$updatedAt": at}
        assert set(values) <= set(made), set(values) - set(made)
        return made | values

    def add(self, function_id: str, code: bytes = b"", **settings: Any) -> dict[str, Any]:
        """Add a function, with an active deployment when there is code."""
        known = {"name": function_id, "enabled": True, "logging": True, "timeout": 15}
        sizes = ["specification"] if self.version == "1.6" else list(NEWER_SETTINGS)[:2]
        known |= dict.fromkeys(sizes, "s-1vcpu-512mb")
        made = self.new("function", **{**known, **settings, "$id": function_id})
        self.functions[function_id] = made
        self.variables[function_id], self.deployments[function_id] = [], []
        if code:
            one = self.deploy(function_id, code, entrypoint=made["entrypoint"], status="ready")
            made[self.names["active"]] = one["$id"]
        return made

    def deploy(self, function_id: str, code: bytes, **values: Any) -> dict[str, Any]:
        """Add a deployment with its archive."""
        values |= {"resourceId": function_id, "resourceType": "functions"}
        one = self.new("deployment", **{self.names["size"]: len(code)}, **values)
        self.deployments[function_id].append(one)
        self.archives[one["$id"]] = code
        return one

    def variable(self, function_id: str, key: str, value: str, **more: Any) -> dict[str, Any]:
        """Add a variable; a secret one has no value in answers."""
        one = self.new("variable", key=key, value=value, **more)
        self.variables[function_id].append(one)
        return one

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        label = f"{request.method} {request.url.path.removeprefix('/v1')}"
        try:
            if request.headers.get("x-appwrite-project") != PROJECT:
                raise Refused(404, "project_not_found", "Project not found", noted=False)
            if request.headers.get("x-appwrite-key") != KEY:
                raise Refused(401, "general_unauthorized_scope", "missing scope", noted=False)
            handler, values = self._matched(request)
            body = await self._body(request, handler)
            answer = await handler["run"](request, values, body)
        except Refused as error:
            if error.noted:
                self.wrong.append(f"{label}: {error}")
            body = {"message": str(error), "type": error.type, "code": error.status}
            return JSONResponse({**body, "version": self.version}, error.status)
        if request.method != "GET":
            self.writes.append(label)
        if self.dies and handler["id"] in ARCHIVES:
            return Response(b"", headers={"content-length": "100"})
        return answer if isinstance(answer, Response) else JSONResponse(answer, handler["status"])

    def _matched(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        path = request.url.path.removeprefix("/v1")
        for (method, pattern), one in self.operations.items():
            found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)
            if method == request.method and found and one["id"] in self._handlers:
                return {**one, "run": self._handlers[one["id"]]}, found.groupdict()
        if path == "/proxy/rules" and request.method == "GET":
            listed = {"id": "", "query": ["queries", "search"], "body": [], "status": 200}
            return {**listed, "run": self._list_rules}, {}
        if path in RULES[self.version] and request.method == "POST":
            made = {"id": "", "query": [], "body": RULES[self.version][path], "status": 201}
            return {**made, "run": self._create_rule}, {}
        raise Refused(404, "general_route_not_found", "Route not found")

    async def _body(self, request: Request, operation: dict[str, Any]) -> dict[str, Any]:
        sent = {name.partition("[")[0] for name in request.query_params}
        if sent - set(operation["query"]):
            raise Refused(400, "general_argument_invalid", f"no query {sent}")
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with request.form() as form:
                body = {
                    name: value if isinstance(value, str) else await value.read()
                    for name, value in form.items()
                }
        else:
            raw = await request.body()
            body = json.loads(raw) if raw else {}
        if set(body) - set(operation["body"]):
            names = set(body) - set(operation["body"])
            raise Refused(400, "general_argument_invalid", f"no parameters {names}")
        return body

    @property
    def _handlers(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        return {
            "functionsList": self._list_functions,
            "functionsCreate": self._create,
            "functionsGet": self._get,
            "functionsUpdate": self._update,
            "functionsListDeployments": self._list_deployments,
            "functionsGetDeployment": self._get_deployment,
            "functionsCreateDeployment": self._upload,
            "functionsGetDeploymentDownload": self._download,
            "functionsUpdateDeployment": self._activate,
            "functionsUpdateFunctionDeployment": self._activate,
            "functionsListVariables": self._list_variables,
            "functionsCreateVariable": self._create_variable,
            "functionsUpdateVariable": self._update_variable,
        }

    def _function(self, values: dict[str, str]) -> dict[str, Any]:
        if values["functionId"] not in self.functions:
            raise Refused(404, "function_not_found", "Function not found", noted=False)
        return self.functions[values["functionId"]]

    async def _list_functions(self, request: Request, *_: Any) -> Any:
        return _page("functions", list(self.functions.values()), request)

    async def _get(self, request: Request, values: dict[str, str], body: Any) -> Any:
        return self._function(values)

    async def _create(self, request: Request, values: Any, body: dict[str, Any]) -> Any:
        if not {"functionId", "name", "runtime"} <= set(body):
            raise Refused(400, "general_argument_invalid", "a required parameter is missing")
        return self.add(body.pop("functionId"), **body)

    async def _update(self, request: Request, values: dict[str, str], body: dict[str, Any]) -> Any:
        function = self._function(values)
        for name, value in body.items():
            kind = self.models["function"][name]
            expected = type(EMPTY[kind]) if isinstance(kind, str) else list
            if type(value) is not expected:
                raise Refused(400, "general_argument_invalid", f"Invalid `{name}` param: type")
        if body.get("interval", 1) < 1 or (body.get("interval") and body.get("schedule")):
            raise Refused(400, "general_argument_invalid", "Invalid `interval` param")
        function |= body
        return function

    async def _list_variables(self, request: Request, values: dict[str, str], *_: Any) -> Any:
        rows = [self._shown(one) for one in self.variables[self._function(values)["$id"]]]
        if self.version == "1.6":
            return {"total": len(rows), "variables": rows}
        return _page("variables", rows, request)

    def _shown(self, variable: dict[str, Any]) -> dict[str, Any]:
        return {**variable, "value": ""} if variable.get("secret") else variable

    async def _create_variable(
        self, request: Request, values: dict[str, str], body: dict[str, Any]
    ) -> Any:
        if self.version != "1.6" and not body.pop("variableId", ""):
            raise Refused(400, "general_argument_invalid", 'Param "variableId" is not optional.')
        # Without the parameter a variable is secret since 1.7.
        secret = {} if self.version == "1.6" else {"secret": body.pop("secret", True)}
        one = self.variable(self._function(values)["$id"], **body, **secret)
        return self._shown(one)

    async def _update_variable(
        self, request: Request, values: dict[str, str], body: dict[str, Any]
    ) -> Any:
        [one] = [
            each
            for each in self.variables[values["functionId"]]
            if each["$id"] == values["variableId"]
        ]
        if one.get("secret") and body.get("secret") is False:
            raise Refused(400, "variable_cannot_unset_secret", "Secret variables stay secret.")
        one |= {**body, "$updatedAt": "2027-01-01T00:00:00.000+00:00"}
        return self._shown(one)

    async def _list_deployments(self, request: Request, values: dict[str, str], *_: Any) -> Any:
        return _page("deployments", self.deployments[self._function(values)["$id"]], request)

    def _deployment(self, function_id: str, deployment_id: str) -> dict[str, Any]:
        for one in self.deployments[function_id]:
            if one["$id"] == deployment_id:
                return one
        raise Refused(404, "deployment_not_found", "Deployment not found")

    async def _get_deployment(self, request: Request, values: dict[str, str], *_: Any) -> Any:
        one = self._deployment(values["functionId"], values["deploymentId"])
        if one["status"] == "building":
            one["status"] = self.build_status
            one["buildLogs"] = "installing\nError: no such package\n"
            if one["activate"] and self.build_status == "ready":
                self.functions[values["functionId"]][self.names["active"]] = one["$id"]
        elif one["status"] == "waiting":
            one["status"] = "building"
        return one

    async def _upload(self, request: Request, values: dict[str, str], body: dict[str, Any]) -> Any:
        if not self.uploads_left:
            raise Refused(503, "general_server_error", "Server Error", noted=False)
        function = self._function(values)
        part, whole = body["code"], request.headers.get("content-range")
        if whole is None:
            if len(part) > CHUNK_BYTES:
                raise Refused(400, "general_argument_invalid", "too large for one part")
            first, total = 0, len(part)
        else:
            first, last, total = map(int, re.findall(r"\d+", whole))
            if last - first + 1 != len(part) or first % CHUNK_BYTES:
                raise Refused(400, "storage_invalid_content_range", whole)
        if first == 0:
            self.uploads_left -= 1
            more = {"activate": body["activate"] == "true", "status": "waiting"}
            more["entrypoint"] = body.get("entrypoint", function["entrypoint"])
            one = self.deploy(function["$id"], part, **more)
            one[self.names["size"]] = total
        else:
            one = self._deployment(function["$id"], request.headers["x-appwrite-id"])
            if len(self.archives[one["$id"]]) != first:
                raise Refused(400, "storage_invalid_content_range", "chunks are sequential")
            self.archives[one["$id"]] += part
        return one

    async def _download(self, request: Request, values: dict[str, str], *_: Any) -> Any:
        one = self._deployment(values["functionId"], values["deploymentId"])
        content = self.archives[one["$id"]]
        if len(content) < one[self.names["size"]]:
            raise Refused(404, "deployment_not_found", "Deployment not found", noted=False)
        if "range" not in request.headers:
            return Response(content, media_type="application/gzip")
        first, last = map(int, re.findall(r"\d+", request.headers["range"]))
        if first >= last or last >= len(content):
            raise Refused(416, "storage_invalid_range", request.headers["range"])
        return Response(content[first : last + 1], 206, media_type="application/gzip")

    async def _activate(
        self, request: Request, values: dict[str, str], body: dict[str, Any]
    ) -> Any:
        function = self._function(values)
        wanted = values.get("deploymentId") or body["deploymentId"]
        if self._deployment(function["$id"], wanted)["status"] != "ready":
            raise Refused(400, "build_not_ready", "Build not ready")
        function[self.names["active"]] = wanted
        return function

    async def _list_rules(self, request: Request, *_: Any) -> Any:
        return _page("rules", self.rules, request)

    async def _create_rule(self, request: Request, values: Any, body: dict[str, Any]) -> Any:
        names = set(RULES[self.version][request.url.path.removeprefix("/v1")]) - {"branch"}
        if names - set(body) or body.get("statusCode", 301) not in (301, 302, 307, 308):
            raise Refused(400, "general_argument_invalid", f"{names} are not optional")
        if any(rule["domain"] == body["domain"] for rule in self.rules):
            raise Refused(409, "rule_already_exists", "Domain is already used.", noted=False)
        self.rule(body["domain"], body.get("functionId") or body["resourceId"])
        return self.rules[-1]

    def rule(self, domain: str, function_id: str, **more: Any) -> None:
        """Add a rule of a function, in the words of the version."""
        one = {"$id": f"rule{next(self._numbers)}", "domain": domain, **more}
        names = ("resourceType", "resourceId")
        if self.version != "1.6":
            one |= {"type": "deployment", "trigger": "manual", **more}
            names = ("deploymentResourceType", "deploymentResourceId")
        self.rules.append(one | dict(zip(names, ("function", function_id), strict=True)))


def _page(name: str, rows: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """Return a page of a list: 25 rows, from the first on, unless queries say so."""
    limit, start = 25, 0
    for text in request.query_params.getlist("queries[]"):
        query = json.loads(text)
        if query["method"] == "limit":
            [limit] = query["values"]
        elif query["method"] == "cursorAfter":
            start = [row["$id"] for row in rows].index(query["values"][0]) + 1
        else:
            raise Refused(400, "general_query_invalid", text)
    return {"total": len(rows), name: rows[start : start + limit]}


def serving(stub: Stub) -> Iterator[Stub]:
    """Serve a stub in a thread of this process until the generator goes on."""
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", stub.answer, methods=methods)])
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    # Connections wait from now on until the thread takes them.
    listening.listen()
    stub.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield stub
    finally:
        server.should_exit = True
        thread.join()
