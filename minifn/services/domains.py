"""Domains: what answers at a host name, and the rules that give more domains to functions and to the API."""

import asyncio

import msgspec

from minifn.errors import ArgumentInvalid
from minifn.ids import new_id
from minifn.instants import now_ms
from minifn.models import Rule
from minifn.store import rules, settings
from minifn.store.database import Database
from minifn.store.paging import Page
from minifn.store.queries import Query


class DomainService:
    """Creates and deletes rules; knows, in memory, what answers at every domain.

    Function `Hello` has the domain `hello.<functions_domain>` by itself. `open` comes before everything else.
    """

    def __init__(self, database: Database, functions_domain: str) -> None:
        self._database = database
        self._functions_domain = functions_domain
        self._suffix = f".{functions_domain}"
        #: None: to be read again.
        self._routes: dict[str, str | Rule] | None = None
        #: What was read last.
        self._known: dict[str, str | Rule] = {}
        self._reading = asyncio.Lock()
        self._generation = 0
        database.subscribe(self._forget)

    async def open(self) -> None:
        """Let the database know the functions domain, so that lists show whole domains."""
        await self._database.write(settings.put, rules.FUNCTIONS_DOMAIN, self._functions_domain)
        await self._read()

    async def route_of(self, host: str) -> str | Rule | None:
        """Return what answers at `host` (lower-case, without port): the id of a function, or the rule of a redirect.

        None is the API. Below the functions domain any other name is an id, of a function that may not exist. Seldom
        suspends.
        """
        routes = self._routes if self._routes is not None else await self._read()
        route = routes.get(host)
        if route is None and host.endswith(self._suffix):
            return host[: -len(self._suffix)]
        return None if isinstance(route, Rule) and route.type == "api" else route

    def is_given(self, host: str) -> bool:
        """Tell whether a rule names `host`, by what was read last: at the start and after each change of a rule."""
        return host in self._known

    async def create(self, domain: str, function_id: str, branch: str = "") -> Rule:
        """Give a function a domain. Raises ArgumentInvalid, RuleResourceNotFound and RuleAlreadyExists."""
        return await self._create(
            Rule(id=new_id(), domain=domain, function_id=function_id, branch=branch)
        )

    async def create_redirect(
        self, domain: str, url: str, status_code: int, function_id: str
    ) -> Rule:
        """Have a domain redirect to `url`; the rule goes with the function.

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
        """Take a domain away from its function. Raises RuleNotFound, and BadRequest for the domain of its id."""
        await self._database.write(rules.delete, rule_id)
        await self._read()

    async def page(self, query: Query, *, count: bool = True) -> Page[Rule]:
        """Return a page of the rules: first the domains that functions have by themselves, then the others."""
        return await self._database.read_list(rules.page, query, count=count)

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
