"""The domains that rules give a function. The target itself makes the domain of its id."""

import functools
import re
from typing import Any

from minifn.cli.migrate.sides import Abilities, Record, Report, Sides
from minifn.cli.remote import Remote, RemoteError

#: Domains that Appwrite 1.6 makes for each function: 20 digits below its functions domain.
_MADE = re.compile(r"[0-9a-f]{20}\.")


class Domains:
    """Moves rules. The lists of both sides are read once, when they are needed."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides

    def move(self, function: Record, target: Record | None, report: Report) -> None:
        """Create the rules of a function at the target. Raises RemoteError."""
        try:
            rules = [rule for rule in self._source if _owner(rule) == function["$id"]]
            rules = [rule for rule in rules if not _is_made(rule)]
            known = {rule["domain"]: _owner(rule) for rule in self._target} if rules else {}
        except RemoteError as error:
            report.failed("domains", error)
            return
        for rule in rules:
            domain = rule["domain"]
            if known.get(domain) == function["$id"]:
                report.domains.same += 1
                continue
            if domain in known:
                owner = known[domain] or "something else"
                report.problems.append(f"domain {domain}: at the target it leads to {owner}")
                continue
            try:
                self._create(rule, target, report)
            except RemoteError as error:
                report.failed(f"domain {domain}", error)

    def _create(self, rule: Record, target: Record | None, report: Report) -> None:
        domain, owner = rule["domain"], report.function_id
        body: dict[str, Any] = {"domain": domain}
        path, redirect = "/proxy/rules", rule.get("type") == "redirect"
        if target is None or Abilities.of(target).since_1_7:
            path += "/redirect" if redirect else "/function"
            body |= _redirect(rule, owner) if redirect else _to_function(rule, owner)
        elif redirect or rule.get("deploymentVcsProviderBranch"):
            report.problems.append(f"domain {domain}: the target has only rules for functions")
            return
        else:
            body |= {"resourceType": "function", "resourceId": owner}
        self._sides.change("POST", path, json=body)
        report.domains.new += 1
        report.notes.append(f"domain {domain}: its DNS record must lead to the target")

    @functools.cached_property
    def _source(self) -> list[Record]:
        return _listed(self._sides.source)

    @functools.cached_property
    def _target(self) -> list[Record]:
        return _listed(self._sides.target)


def _listed(remote: Remote) -> list[Record]:
    return list(remote.pages("/proxy/rules", "rules", plain=True))


def _owner(rule: Record) -> str:
    """Return the id of a rule's function, "" for another rule."""
    kind = rule.get("deploymentResourceType") or rule.get("resourceType")
    owner = rule.get("deploymentResourceId") or rule.get("resourceId") or ""
    return str(owner) if kind == "function" else ""


def _is_made(rule: Record) -> bool:
    """Tell whether a server made the rule itself: minifn names it as its function."""
    if rule["$id"] == _owner(rule) or rule.get("trigger", "manual") != "manual":
        return True
    return "trigger" not in rule and _MADE.match(rule["domain"]) is not None


def _redirect(rule: Record, owner: str) -> dict[str, Any]:
    return {
        "url": rule["redirectUrl"],
        "statusCode": rule["redirectStatusCode"],
        "resourceId": owner,
        "resourceType": "function",
    }


def _to_function(rule: Record, owner: str) -> dict[str, Any]:
    branch = rule.get("deploymentVcsProviderBranch")
    return {"functionId": owner, **({"branch": branch} if branch else {})}
