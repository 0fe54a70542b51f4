"""Operations of 1.9 and later beside functions: rules, the project, API keys and variables."""

import os
from importlib import import_module

from appwrite.query import Query
from client import Service, connect, refused


def service(name, **credentials):
    """Return a service of this package by name."""
    credentials = credentials or {"key": os.environ["KEY"]}
    found = getattr(import_module(f"appwrite.services.{name.lower()}"), name)
    return Service(found(connect(**credentials)))


def check(function_id):
    """Call all operations for an existing function, and delete all that was created."""
    rules(function_id)
    project = service("Project")
    variables(project, function_id)
    keys(project)


def rules(function_id):
    proxy = service("Proxy")
    rule = proxy.create_function_rule(f"{function_id}.example.com", function_id)
    assert (rule["domain"], rule["deploymentResourceId"]) == (
        f"{function_id}.example.com",
        function_id,
    )
    assert proxy.get_rule(rule["$id"])["domain"] == rule["domain"]
    assert proxy.update_rule_status(rule["$id"])["status"] == "verified"
    listed = proxy.list_rules([Query.equal("deploymentResourceId", function_id)])["rules"]
    assert rule["$id"] in [row["$id"] for row in listed]
    status = import_module("appwrite.enums.status_code").StatusCode
    resource = import_module("appwrite.enums.proxy_resource_type").ProxyResourceType.FUNCTION
    target = ("https://example.com/new", status.PERMANENTREDIRECT, function_id, resource)
    redirect = proxy.create_redirect_rule(f"old.{function_id}.example.com", *target)
    assert (redirect["type"], redirect["redirectUrl"]) == ("redirect", "https://example.com/new")
    assert int(redirect["redirectStatusCode"]) == 308
    refused(
        404,
        "rule_resource_not_found",
        proxy.create_redirect_rule,
        "x.example.com",
        *target[:2],
        "nothing",
        resource,
    )
    refused(409, "rule_already_exists", proxy.create_api_rule, redirect["domain"])
    api = proxy.create_api_rule(f"api.{function_id}.example.com")
    assert (api["type"], api["deploymentResourceId"]) == ("api", "")
    for made in (rule, redirect, api):
        proxy.delete_rule(made["$id"])
        refused(404, "rule_not_found", proxy.get_rule, made["$id"])


def variables(project, function_id):
    new = {"secret": False, "description": "for all"}
    variable = project.create_variable(
        f"{function_id}-shared", f"SHARED_{function_id[-1]}", "x", **new
    )
    assert variable.get("description", "for all") == "for all"
    assert project.update_variable(variable["$id"], value="y")["value"] == "y"
    assert project.get_variable(variable["$id"])["resourceType"] == "project"
    assert variable["$id"] in [row["$id"] for row in project.list_variables()["variables"]]
    project.delete_variable(variable["$id"])


def keys(project):
    assert project.get()["$id"] == os.environ["PROJECT"]
    scopes = import_module("appwrite.enums.project_key_scopes").ProjectKeyScopes
    ephemeral = project.create_ephemeral_key([scopes.FUNCTIONS_READ], 60)
    assert service("Functions", key=ephemeral["secret"]).list()["total"] >= 1
    every = project.create_ephemeral_key(list(scopes), 60)
    assert len(every["scopes"]) == len(scopes)
    refused(400, "general_argument_invalid", project.create_ephemeral_key, ["everything"], 60)
    if not project.has("create_key"):
        refused(404, "key_not_found", project.get_key, "nothing")
        refused(404, "key_not_found", project.update_key, "nothing", "x", [])
        refused(404, "key_not_found", project.delete_key, "nothing")
        assert project.list_keys()["total"] >= 0
        return
    key = project.create_key("unique()", "made", [scopes.FUNCTIONS_READ])
    assert project.update_key(key["$id"], "renamed", [scopes.KEYS_WRITE])["name"] == "renamed"
    assert project.get_key(key["$id"])["scopes"] == ["keys.write"]
    assert key["$id"] in [row["$id"] for row in project.list_keys()["keys"]]
    denied = service("Project", key=key["secret"]).create_key
    refused(403, "key_creation_denied", denied, "unique()", "x", [])
    project.delete_key(key["$id"])
