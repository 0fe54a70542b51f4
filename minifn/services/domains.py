"""Domains: the function, redirect or API at each host name, and the rules that add domains."""

import asyncio
from collections.abc import Mapping

import msgspec

from minifn.errors import ArgumentInvalid
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Caller, Rule
from minifn.store import rules, settings
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query


class DomainService:
    """Creates and deletes rules, and keeps the routes of all domains in memory.

    The function `Hello` has the domain `hello.<functions_domain>` without a rule. Call `open`
    first.
    """

    def __init__(self, database: Database, functions_domain: str) -> None:
        self._database = database
        self._functions_domain = functions_domain
        self._suffix = f".{functions_domain}"
        #: The user who calls functions' domains, None for guests; for development alone.
        self.caller: Caller | None = None
        #: Domain -> function id or rule; None = must be read.
        self._routes: dict[str, str | Rule] | None = None
        #: The routes that were read last.
        self._known: dict[str, str | Rule] = {}
        self._reading = asyncio.Lock()
        self._generation = 0
        database.subscribe(self._forget)

    async def open(self) -> None:
        """Store the functions domain, which queries of rules append to a function's id."""
        await self._database.write(settings.put, rules.FUNCTIONS_DOMAIN, self._functions_domain)
        await self._read()

    async def route_of(self, host: str) -> str | Rule | None:
        """Return the route of `host` (lower-case, no port): a function's id, or a redirect's rule.

        None is the API. Another name below the functions domain is the id of a function, which may
        not exist. Suspends only after a change of the rules.
        """
        return self._route(self._routes if self._routes is not None else await self._read(), host)

    def route_at_once(self, host: str) -> str | Rule | None:
        """Do what `route_of` does. Raises LookupError when the routes must be read."""
        if self._routes is None:
            raise LookupError("a rule or a function has changed")
        return self._route(self._routes, host)

    def _route(self, routes: Mapping[str, str | Rule], host: str) -> str | Rule | None:
        route = routes.get(host)
        if route is None and host.endswith(self._suffix):
            return host[: -len(self._suffix)]
        return None if isinstance(route, Rule) and route.type == "api" else route

    def is_given(self, host: str) -> bool:
        """Tell whether a rule names `host`, by the rules that were read last."""
        return host in self._known

    async def create(self, domain: str, function_id: str, branch: str = "") -> Rule:
        """Give a function a domain.

        Raises ArgumentInvalid, RuleResourceNotFound and RuleAlreadyExists.
        """
        return await self._create(
            Rule(id=new_id(), domain=domain, function_id=function_id, branch=branch)
        )

    async def create_redirect(
        self, domain: str, url: str, status_code: int, function_id: str
    ) -> Rule:
        """Have a domain redirect to `url`; deleting the function deletes the rule.

        Raises ArgumentInvalid, RuleResourceNotFound and RuleAlreadyExists.
        """
        return await self._create(
            Rule(
                id=new_id(),
                domain=domain,
                function_id=function_id,
                type="redirect",
                redirect_url=url,
                redirect_status_code=status_code,
            )
        )

    async def create_api(self, domain: str) -> Rule:
        """Have the API answer at a domain. Raises ArgumentInvalid and RuleAlreadyExists."""
        return await self._create(Rule(id=new_id(), domain=domain, type="api"))

    async def _create(self, rule: Rule) -> Rule:
        domain = rule.domain.lower()
        if domain in ("localhost", self._functions_domain):
            raise ArgumentInvalid.for_param("domain", "This domain is the server's own")
        now = now_ms()
        rule = msgspec.structs.replace(rule, domain=domain, created_at=now, updated_at=now)
        made = await self._database.write(rules.insert, rule)
        await self._read()
        return made

    async def get(self, rule_id: str) -> Rule:
        """Return a rule. Raises RuleNotFound."""
        return await self._database.read(rules.get, rule_id)

    async def delete(self, rule_id: str) -> None:
        """Delete a rule.

        Raises RuleNotFound, and BadRequest for the domain made of a function's id.
        """
        await self._database.write(rules.delete, rule_id)
        await self._read()

    async def page(
        self, query: Query, reach: tuple[str, ...] = (), *, count: bool = True
    ) -> Page[Rule]:
        """Return a page of the rules: first the domains made of functions' ids, then the others."""
        return await self._database.read_list(rules.page, query, reach, count=count)

    async def _read(self) -> dict[str, str | Rule]:
        async with self._reading:
            while self._routes is None:
                generation = self._generation
                routes = await self._database.read(rules.routes)
                if generation == self._generation:
                    self._routes = self._known = routes
            return self._routes

    def _forget(self, function_ids: set[str]) -> None:
        self._generation += 1
        self._routes = None
