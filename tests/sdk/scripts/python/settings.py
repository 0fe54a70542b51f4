"""Settings and variables of a function."""

from appwrite.query import Query
from client import refused
from deployments import deploy
from target import (
    ACTIVE,
    ENTRYPOINT,
    FORMAT,
    ID,
    OLD,
    RUNTIME,
    SMALL,
    functions,
    names_of_versions,
    shape,
)


def create():
    refused_settings()
    settings = {
        "execute": ["any"],
        "events": ["users.*.create"],
        "schedule": "0 0 1 1 *",
        "timeout": 20,
        "enabled": True,
        "logging": True,
        "commands": "",
        "scopes": ["users.read"],
    }
    created = functions.create(
        ID,
        "SDK",
        RUNTIME,
        **settings,
        specification="s-1vcpu-1gb",
        build_specification="s-2vcpu-2gb",
        runtime_specification="s-1vcpu-1gb",
        deployment_retention=7,
    )
    expected = {**settings, "$id": ID, "name": "SDK", "runtime": RUNTIME, ACTIVE: ""}
    for name, value in expected.items():
        assert created[name] == value, (name, created[name])
    check_versions(created)
    refused(409, "function_already_exists", functions.create, ID, "SDK", RUNTIME)
    refused(404, "deployment_not_found", functions.create_execution, ID)
    refused(404, "function_entrypoint_missing", deploy, SMALL)
    catalog()
    newest()
    updated = functions.update(ID, "SDK", entrypoint=ENTRYPOINT, execute=["any"], timeout=20)
    assert (updated["runtime"], updated["entrypoint"]) == (RUNTIME, ENTRYPOINT)
    assert updated["events"] == []


def refused_settings():
    refused(404, "function_not_found", functions.get, ID)
    refused(400, "general_argument_invalid", functions.create, "-bad", "Bad", RUNTIME)
    for settings in (
        {"timeout": 100_000},
        {"execute": ["nobody"]},
        {"schedule": "never"},
        {"scopes": ["everything"]},
    ):
        refused(400, "general_argument_invalid", functions.create, ID, "Bad", RUNTIME, **settings)


def check_versions(created):
    """Check the keys of a new function that versions name differently."""
    latest = "deploymentId latestDeploymentId latestDeploymentStatus"
    shape(created, *names_of_versions("deployment", latest))
    sizes = "buildSpecification runtimeSpecification deploymentRetention"
    if FORMAT < (1, 9):
        shape(created, "specification", sizes)
        assert created["specification"] == "s-1vcpu-1gb"
        return
    shape(created, f"providerBranches providerPaths {sizes}", "specification")
    assert created["buildSpecification"] == "s-2vcpu-2gb"
    assert created["runtimeSpecification"] == "s-1vcpu-1gb"
    assert created["deploymentRetention"] == 7


def catalog():
    runtimes = functions.list_runtimes()["runtimes"]
    assert RUNTIME in [runtime["$id"] for runtime in runtimes]
    shape(runtimes[0], "$id key name version base image logo supports", "")
    specifications = functions.list_specifications(type="builds")
    assert specifications["total"] == len(specifications["specifications"]) >= 2
    shape(specifications["specifications"][0], "memory cpus enabled slug", "")


def newest():
    """Check additions of 2.0 and the settings that its updates keep."""
    if FORMAT < (2, 0):
        return
    settings = {"interval": 30, "description": "says hello", "email_enabled": False}
    updated = functions.update(ID, "SDK", **settings)
    assert (updated["interval"], updated["description"], updated["emailEnabled"]) == (
        30,
        "says hello",
        False,
    )
    assert updated["runtimeSpecification"] == "s-1vcpu-1gb"
    kept = functions.update(ID, "SDK")
    assert (kept["interval"], kept["description"]) == (30, "says hello")
    both = {"schedule": "0 * * * *", "interval": 5}
    refused(400, "general_argument_invalid", functions.update, ID, "SDK", **both)
    assert functions.update(ID, "SDK", interval=0)["interval"] == 0
    assert functions.list_runtimes(total=False)["total"] == 0


def variables():
    new = {} if OLD else {"variable_id": f"{ID}-greeting", "secret": False}
    variable = functions.create_variable(ID, key="GREETING", value="hello", **new)
    shape(variable, *names_of_versions("", "secret"))
    if FORMAT >= (2, 0):
        described = functions.update_variable(ID, variable["$id"], description="the greeting")
        assert described["description"] == "the greeting"
    bad, again = {**new, "key": "1-BAD", "value": ""}, {**new, "key": "GREETING", "value": "x"}
    refused(400, "general_argument_invalid", functions.create_variable, ID, **bad)
    refused(409, "variable_already_exists", functions.create_variable, ID, **again)
    changed = {"key": "GREETING", "value": "hello there"}
    assert functions.update_variable(ID, variable["$id"], **changed)["key"] == "GREETING"
    assert functions.get_variable(ID, variable["$id"])["value"] == "hello there"
    refused(404, "variable_not_found", functions.get_variable, ID, "nothing")
    assert functions.get(ID)["vars"][0]["key"] == "GREETING"
    second = secret_variable()
    listed = functions.list_variables(ID)
    assert listed["total"] == 2
    assert [row["key"] for row in listed["variables"]] == ["GREETING", "TOKEN"]
    functions.delete_variable(ID, second["$id"])


def secret_variable():
    """Create and return a variable that is secret since 1.7."""
    second = functions.create_variable(ID, key="TOKEN", value="hidden", variable_id=f"{ID}-token")
    if OLD:
        assert second["value"] == "hidden"
        return second
    assert (second["$id"], second["value"], second["secret"]) == (f"{ID}-token", "", True)
    unset = {"key": "TOKEN", "secret": False}
    change = functions.update_variable
    refused(400, "variable_cannot_unset_secret", change, ID, second["$id"], **unset)
    found = functions.list_variables(ID, [Query.equal("key", "TOKEN")])["variables"]
    assert [row["key"] for row in found] == ["TOKEN"]
    return second
