"""Domain rules: which function answers for a host name."""

from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.hosts import host_of
from minifn.api.wire import responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.kinds import QueryTexts
from minifn.api.wire.lists import read_query
from minifn.api.wire.operation import RULES_READ, RULES_WRITE, Call, Operation
from minifn.api.wire.params import Boolean, Id, Limits, OneOf, Params, Text
from minifn.errors import (
    ArgumentInvalid,
    CursorNotFound,
    DatabaseTimeout,
    QueryInvalid,
    RuleAlreadyExists,
    RuleNotFound,
    RuleResourceNotFound,
)
from minifn.ids import is_domain
from minifn.store import lists


class Domain:
    """A domain name, returned in lower case."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and is_domain(value.lower()):
            return value.lower()
        raise ValueError("Value must be a valid domain")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": 253, "example": "hello.example.com"}


class CreateRule(Params, frozen=True, kw_only=True):
    """A domain for a function, as 1.6 asks for it."""

    domain: Annotated[str, Domain()]
    resource_type: Annotated[str, OneOf(("function",))]
    resource_id: Annotated[str, Id()]


class CreateFunctionRule(Params, frozen=True, kw_only=True):
    """A domain for a function."""

    domain: Annotated[str, Domain()]
    function_id: Annotated[str, Id()]
    branch: Annotated[str, Text(255, 0)] = ""


class ListRules(Params, frozen=True, kw_only=True):
    """Which rules."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneRule(Params, frozen=True, kw_only=True):
    """Which rule."""

    rule_id: Annotated[str, Id()]


async def create(call: Call, params: CreateRule) -> ASGIApp:
    """Give a function a domain; 1.6 keeps those below the functions domain for itself."""
    if params.domain.endswith(f".{call.parts.config.functions_domain}"):
        raise ArgumentInvalid.for_param("domain", "Domains below the functions domain are made by the server")
    return await _create(call, params.domain, params.resource_id, "")


async def create_for_function(call: Call, params: CreateFunctionRule) -> ASGIApp:
    """Give a function, or one branch of its repository, a domain."""
    return await _create(call, params.domain, params.function_id, params.branch)


async def _create(call: Call, domain: str, function_id: str, branch: str) -> ASGIApp:
    if domain == host_of(call.scope):
        # The API must stay reachable by the name it is reached by.
        raise ArgumentInvalid.for_param("domain", "This domain is the server's own")
    rule = await call.parts.rules.create(domain, function_id, branch)
    return json_answer(responses.rule(rule, call.shape), 201)


async def list_rules(call: Call, params: ListRules) -> ASGIApp:
    """List rules. First come the domains that functions have by themselves."""
    query = read_query(params.queries, lists.RULES, call.shape, params.search)
    found = await call.parts.rules.page(query, count=params.total)
    items = [responses.rule(item, call.shape) for item in found.items]
    return json_answer(responses.listing("rules", found.total, items))


async def get(call: Call, params: OneRule) -> ASGIApp:
    """Return a rule."""
    return json_answer(responses.rule(await call.parts.rules.get(params.rule_id), call.shape))


async def delete(call: Call, params: OneRule) -> ASGIApp:
    """Take a domain away from its function; the one made of the function's id stays."""
    await call.parts.rules.delete(params.rule_id)
    return no_content()


OPERATIONS = (
    Operation(
        name="proxy.listRules",
        method="GET",
        path="/proxy/rules",
        scopes=RULES_READ,
        params=ListRules,
        handler=list_rules,
        model="rules",
        errors=(CursorNotFound, DatabaseTimeout, QueryInvalid),
    ),
    Operation(
        name="proxy.createRule",
        method="POST",
        path="/proxy/rules",
        scopes=RULES_WRITE,
        params=CreateRule,
        handler=create,
        model="rule",
        errors=(RuleAlreadyExists, RuleResourceNotFound),
    ),
    Operation(
        name="proxy.createFunctionRule",
        method="POST",
        path="/proxy/rules/function",
        scopes=RULES_WRITE,
        params=CreateFunctionRule,
        handler=create_for_function,
        model="rule",
        errors=(RuleAlreadyExists, RuleResourceNotFound),
    ),
    Operation(
        name="proxy.getRule",
        method="GET",
        path="/proxy/rules/{ruleId}",
        scopes=RULES_READ,
        params=OneRule,
        handler=get,
        model="rule",
        errors=(RuleNotFound,),
    ),
    Operation(
        name="proxy.deleteRule",
        method="DELETE",
        path="/proxy/rules/{ruleId}",
        scopes=RULES_WRITE,
        params=OneRule,
        handler=delete,
        errors=(RuleNotFound,),
    ),
)
