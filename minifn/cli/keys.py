"""`minifn keys` and `minifn token`, which work on the data directory with or without a server."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from minifn.cli.options import (
    configuration,
    existing_data,
    fail,
    seconds,
    settings,
    signing_secret,
)
from minifn.config import Config
from minifn.ids import is_id, is_reach
from minifn.instants import format_instant, parse_instant
from minifn.log_text import printable
from minifn.models import ApiKey
from minifn.scopes import SCOPES, SCOPES_MAX, nearest
from minifn.services.keys import Keys
from minifn.store.database import Database
from minifn.tokens import Team, Tokens, UserClaims

Result = TypeVar("Result")


@click.group()
def keys() -> None:
    """Make, list and delete API keys."""


@keys.command()
@click.option("--name", required=True, help="what the key is for")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="SCOPE",
    help="a right, such as functions.read",
)
@click.option(
    "--function",
    "functions",
    multiple=True,
    metavar="ID",
    help="a function that it may touch, or the beginning of ids: class1-*  [default: all]",
)
@click.option("--expire", metavar="ISO8601", help="when it stops working  [default: never]")
@settings(("data",))
def create(
    name: str,
    scopes: tuple[str, ...],
    functions: tuple[str, ...],
    expire: str | None,
    data: str | None,
) -> None:
    """Make an API key and print its secret, once."""
    for function in functions:
        if not is_reach(function):
            fail(
                f"--function must be the ID of a function, or the beginning of IDs and a *, not"
                f" {function!r}",
                status=2,
            )
    for scope in scopes:
        if scope not in SCOPES:
            near = nearest(scope)
            hint = (
                f"; did you mean {near}?"
                if near
                else "; scopes are such as functions.read and executions.write"
            )
            fail(f"--scope {scope!r} is not a scope{hint}", status=2)
    if len(scopes) > SCOPES_MAX:
        fail(f"a key holds at most {SCOPES_MAX} scopes, not {len(scopes)}", status=2)
    try:
        expire_at = parse_instant(expire) if expire else 0
    except ValueError:
        fail(f"--expire must be an ISO 8601 date and time, not {expire!r}", status=2)
    _, secret = with_keys(
        configuration(data=data),
        lambda keys: keys.create(name, scopes, expire_at=expire_at, functions=functions),
    )
    click.echo(secret)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="print a JSON list")
@settings(("data",))
def list_keys(as_json: bool, data: str | None) -> None:
    """List the API keys; their secrets are not kept."""
    rows = [_shown(key) for key in with_keys(configuration(data=data), lambda keys: keys.list())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("There is only the admin key: `minifn keys create` makes others.", err=True)
    for row in rows:
        expires = f"expires {row['expire']}" if row["expire"] else "does not expire"
        reach = f"  for {' '.join(row['functions'])}" if row["functions"] else ""
        shown = f"{row['id']}  {row['name']}  {' '.join(row['scopes'])}  {expires}{reach}"
        click.echo(printable(shown))


@keys.command()
@click.argument("key_id", metavar="ID")
@settings(("data",))
def delete(key_id: str, data: str | None) -> None:
    """Delete an API key by its ID."""
    if not with_keys(configuration(data=data), lambda keys: keys.delete(key_id)):
        fail(f"there is no API key {key_id!r}")


@click.command()
@click.option("--user", required=True, metavar="ID", help="the user's ID")
@click.option(
    "--team",
    "teams",
    multiple=True,
    metavar="T[:ROLE,..]",
    help="a team of the user, and the roles there",
)
@click.option("--label", "labels", multiple=True, metavar="L", help="a label of the user")
@click.option("--verified", is_flag=True, help="the user's address is verified")
@click.option("--ttl", default="15m", show_default=True, help="how long it works: 30s, 15m, 2h, 1d")
@settings(("data", "project"))
def token(
    user: str,
    teams: tuple[str, ...],
    labels: tuple[str, ...],
    verified: bool,
    ttl: str,
    **flags: str | None,
) -> None:
    """Print a client JWT, to try permissions."""
    if not is_id(user):
        fail(f"--user must be an ID, not {user!r}", status=2)
    config = configuration(**flags)
    secret = signing_secret(config)
    claims = UserClaims(
        user_id=user,
        exp=int(time.time()) + seconds("--ttl", ttl),
        verified=verified,
        labels=labels,
        teams=tuple(_team(text) for text in teams),
    )
    click.echo(Tokens(secret, config.project).mint_user(claims))


def with_keys(config: Config, use: Callable[[Keys], Awaitable[Result]]) -> Result:
    """Return the result of `use` on the keys of a data directory."""

    data = existing_data(config)

    async def opened() -> Result:
        async with Database(data.database) as database:
            return await use(Keys(database))

    return asyncio.run(opened())


def _team(text: str) -> Team:
    team_id, _, roles = text.partition(":")
    if not is_id(team_id):
        fail(f"--team must be T or T:ROLE,ROLE, not {text!r}", status=2)
    return Team(
        team_id=team_id,
        membership_id=team_id,
        roles=tuple(role for role in roles.split(",") if role),
    )


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "functions": list(key.functions),
        "created": format_instant(key.created_at),
        "expire": format_instant(key.expire_at) if key.expire_at else "",
    }
