"""Domain rules: a domain reaches a function, a redirect or the API."""

import re
from typing import Annotated, Any

from starlette.types import ASGIApp

from minifn.api.hosts import host_of
from minifn.api.wire import list_attributes, responses
from minifn.api.wire.answers import json_answer, no_content
from minifn.api.wire.kinds import QueryTexts
from minifn.api.wire.operation import RULES_READ, RULES_WRITE, Call, Operation
from minifn.api.wire.params import Boolean, Id, Limits, OneOf, Params, Text
from minifn.api.wire.queries import read_query
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
from minifn.models import Rule

_NO_SITES = "This server has no sites: name a function."
_REDIRECT_STATUSES = (301, 302, 307, 308)
_URL_MAX_CHARS = 2048
#: URLs that fit a Location header: with a host, without spaces and control characters.
_URL = re.compile(rf"(?=.{{1,{_URL_MAX_CHARS}}}$)https?://[!-.0-9:;=?-~]+[!-~]*", re.IGNORECASE)


class Domain:
    """A domain name, returned in lower case."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and is_domain(value.lower()):
            return value.lower()
        raise ValueError("Value must be a valid domain")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "string", "maxLength": 253, "example": "hello.example.com"}


class Url:
    """An absolute http or https URL of printable ASCII characters."""

    def check(self, value: Any, limits: Limits) -> str:
        if isinstance(value, str) and _URL.fullmatch(value):
            return value
        raise ValueError("Value must be a valid URL with scheme http or https")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {
            "type": "string",
            "format": "uri",
            "maxLength": _URL_MAX_CHARS,
            "example": "https://example.com",
        }


class RedirectStatus:
    """The status of a redirect, a number or a string; returned as a number."""

    def check(self, value: Any, limits: Limits) -> int:
        for status in _REDIRECT_STATUSES:
            if value in (status, str(status)) and not isinstance(value, float):
                return status
        raise ValueError(f"Value must be one of ({', '.join(map(str, _REDIRECT_STATUSES))})")

    def schema(self, limits: Limits) -> dict[str, Any]:
        return {"type": "integer", "enum": list(_REDIRECT_STATUSES)}


class CreateRule(Params, frozen=True, kw_only=True):
    """A domain for a function, in the words of 1.6."""

    domain: Annotated[str, Domain()]
    resource_type: Annotated[str, OneOf(("function",))]
    resource_id: Annotated[str, Id()]


class CreateFunctionRule(Params, frozen=True, kw_only=True):
    """A domain for a function."""

    domain: Annotated[str, Domain()]
    function_id: Annotated[str, Id()]
    branch: Annotated[str, Text(255, 0)] = ""


class CreateSiteRule(Params, frozen=True, kw_only=True):
    """A domain for a site, of which this server has none."""

    domain: Annotated[str, Domain()]
    site_id: Annotated[str, Id()]
    branch: Annotated[str, Text(255, 0)] = ""


class CreateRedirectRule(Params, frozen=True, kw_only=True):
    """A domain that redirects, and the function that owns it."""

    domain: Annotated[str, Domain()]
    url: Annotated[str, Url()]
    status_code: Annotated[int, RedirectStatus()]
    resource_id: Annotated[str, Id()]
    resource_type: Annotated[str, OneOf(("function", "site"))]


class CreateApiRule(Params, frozen=True, kw_only=True):
    """A domain for the API."""

    domain: Annotated[str, Domain()]


class ListRules(Params, frozen=True, kw_only=True):
    """A page of rules."""

    queries: Annotated[tuple[str, ...], QueryTexts()] = ()
    search: Annotated[str, Text(256, 0)] = ""
    total: Annotated[bool, Boolean(loose=True)] = True


class OneRule(Params, frozen=True, kw_only=True):
    """A rule's id."""

    rule_id: Annotated[str, Id()]


async def create(call: Call, params: CreateRule) -> ASGIApp:
    """Give a function a domain, which 1.6 does not allow below the functions domain."""
    if params.domain.endswith(f".{call.parts.config.functions_domain}"):
        raise ArgumentInvalid.for_param(
            "domain", "Domains below the functions domain are made by the server"
        )
    _check_free(call, params.domain)
    _check_reach(call, params.domain, params.resource_id)
    return _created(call, await call.parts.domains.create(params.domain, params.resource_id))


async def create_for_function(call: Call, params: CreateFunctionRule) -> ASGIApp:
    """Give a function, or one branch of its repository, a domain."""
    _check_free(call, params.domain)
    _check_reach(call, params.domain, params.function_id)
    return _created(
        call, await call.parts.domains.create(params.domain, params.function_id, params.branch)
    )


async def create_redirect(call: Call, params: CreateRedirectRule) -> ASGIApp:
    """Redirect a domain to a URL."""
    _check_free(call, params.domain)
    if params.resource_type == "site":
        raise RuleResourceNotFound(_NO_SITES)
    _check_reach(call, params.domain, params.resource_id)
    rules = call.parts.domains
    return _created(
        call,
        await rules.create_redirect(
            params.domain, params.url, params.status_code, params.resource_id
        ),
    )


async def create_for_site(call: Call, params: CreateSiteRule) -> ASGIApp:
    """Refuse a domain for a site, as Appwrite does for a site that does not exist."""
    raise RuleResourceNotFound(_NO_SITES)


async def create_api(call: Call, params: CreateApiRule) -> ASGIApp:
    """Have the API answer at a domain, even below the functions domain."""
    return _created(call, await call.parts.domains.create_api(params.domain))


def _check_free(call: Call, domain: str) -> None:
    """Raise ArgumentInvalid for the host of this request, where the API must stay reachable."""
    if domain == host_of(call.scope):
        raise ArgumentInvalid.for_param("domain", "This domain is the server's own")


def _check_reach(call: Call, domain: str, function_id: str) -> None:
    """Check what a key that is restricted to functions gives a domain.

    Below the functions domain it may be the domain of a function that another key creates later.
    Raises RuleResourceNotFound and ArgumentInvalid.
    """
    if not call.caller.may_touch(function_id):
        raise RuleResourceNotFound
    suffix = f".{call.parts.config.functions_domain}"
    if domain.endswith(suffix) and not call.caller.may_touch(domain.removesuffix(suffix)):
        raise ArgumentInvalid.for_param("domain", "This API key is restricted to other functions")


async def _reached(call: Call, rule_id: str) -> Rule:
    """Return a rule of a function that the caller may touch. Raises RuleNotFound."""
    rule = await call.parts.domains.get(rule_id)
    if not call.caller.may_touch(rule.function_id):
        raise RuleNotFound
    return rule


def _created(call: Call, rule: Rule) -> ASGIApp:
    return json_answer(responses.rule(rule, call.shape), 201)


async def list_rules(call: Call, params: ListRules) -> ASGIApp:
    """List rules; the domains made of function ids come first."""
    query = read_query(params.queries, list_attributes.RULES, call.shape, params.search)
    found = await call.parts.domains.page(query, call.caller.reach, count=params.total)
    items = [responses.rule(item, call.shape) for item in found.items]
    return json_answer(responses.listing("rules", found.total, items))


async def get(call: Call, params: OneRule) -> ASGIApp:
    """Return a rule."""
    return json_answer(responses.rule(await _reached(call, params.rule_id), call.shape))


async def update_status(call: Call, params: OneRule) -> ASGIApp:
    """Return a rule. Nothing is verified: names and certificates are up to the domain's owner."""
    return await get(call, params)


async def delete(call: Call, params: OneRule) -> ASGIApp:
    """Delete a rule; the domain made of a function's id stays."""
    await call.parts.domains.delete((await _reached(call, params.rule_id)).id)
    return no_content()


OPERATIONS = (
    Operation(
        name="proxy.listRules",
        method="GET",
        path="/proxy/rules",
        scopes=RULES_READ,
        params=ListRules,
        handler=list_rules,
        for_restricted=True,
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
        for_restricted=True,
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
        for_restricted=True,
        model="rule",
        errors=(RuleAlreadyExists, RuleResourceNotFound),
    ),
    Operation(
        name="proxy.createRedirectRule",
        method="POST",
        path="/proxy/rules/redirect",
        scopes=RULES_WRITE,
        params=CreateRedirectRule,
        handler=create_redirect,
        for_restricted=True,
        model="rule",
        errors=(RuleAlreadyExists, RuleResourceNotFound),
    ),
    Operation(
        name="proxy.createSiteRule",
        method="POST",
        path="/proxy/rules/site",
        scopes=RULES_WRITE,
        params=CreateSiteRule,
        handler=create_for_site,
        model="rule",
        errors=(RuleResourceNotFound,),
    ),
    Operation(
        name="proxy.createAPIRule",
        method="POST",
        path="/proxy/rules/api",
        scopes=RULES_WRITE,
        params=CreateApiRule,
        handler=create_api,
        model="rule",
        errors=(RuleAlreadyExists,),
    ),
    Operation(
        name="proxy.getRule",
        method="GET",
        path="/proxy/rules/{ruleId}",
        scopes=RULES_READ,
        params=OneRule,
        handler=get,
        for_restricted=True,
        model="rule",
        errors=(RuleNotFound,),
    ),
    Operation(
        name="proxy.updateRuleStatus",
        method="PATCH",
        path="/proxy/rules/{ruleId}/status",
        scopes=RULES_WRITE,
        params=OneRule,
        handler=update_status,
        for_restricted=True,
        model="rule",
        errors=(RuleNotFound,),
    ),
    Operation(
        name="proxy.updateRuleVerification",
        method="PATCH",
        path="/proxy/rules/{ruleId}/verification",
        scopes=RULES_WRITE,
        params=OneRule,
        handler=update_status,
        for_restricted=True,
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
        for_restricted=True,
        errors=(RuleNotFound,),
    ),
)
