"""Templates that are not bundled: repositories below MINIFN_TEMPLATES."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minifn.config import Config, ConfigError
from tests.git.repositories import Repository, answering, git
from tests.serving import Api, Server


@pytest.fixture(scope="module")
def server(place: Path, base: Path) -> Iterator[Server]:
    with Server(place / "data-templates", templates=f"file://{base}") as running:
        yield running


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    with server.api as client:
        yield client


def tagged(repository: Repository) -> None:
    """Commit a function in the folder `fn` for three tags; the highest version is not the last."""
    for tag in ("0.2.9", "0.2.10", "0.2.8"):
        repository.commit({"fn/main.py": answering(tag), "README.md": "not deployed"})
        git(repository.path, "tag", tag)


def wanted(repository: Repository, reference: str, kind: str = "tag") -> dict[str, Any]:
    place = {"owner": "team", "repository": repository.path.name, "rootDirectory": "./fn"}
    return {**place, "type": kind, "reference": reference, "activate": True}


def deployed(api: Api, function_id: str, body: dict[str, Any]) -> Any:
    made = api.call("POST", f"/functions/{function_id}/deployments/template", 202, json=body)
    assert made["type"] == "vcs"
    return api.built(function_id, made["$id"])


def test_the_highest_tag_a_branch_or_a_commit_is_deployed(api: Api, repository: Repository) -> None:
    tagged(repository)
    commit = repository.commit({"fn/main.py": answering("head")})
    api.create("states", api.runtime("python"), entrypoint="main.py", execute=["any"])
    states = (
        ("tag", "0.2.*", "0.2.10"),
        ("tag", "0.2.8", "0.2.8"),
        ("branch", "main", "head"),
        ("commit", commit, "head"),
    )
    for kind, reference, answer in states:
        deployment = deployed(api, "states", wanted(repository, reference, kind))
        assert deployment["status"] == "ready", deployment["buildLogs"]
        assert deployment["providerRepositoryOwner"] == "team"
        assert deployment["providerBranch"] == ("main" if kind == "branch" else "")
        assert api.execute("states")["responseBody"] == answer
    assert deployment["providerCommitHash"] == commit


def test_a_template_that_cannot_be_fetched_says_why(api: Api, repository: Repository) -> None:
    tagged(repository)
    api.create("failures", api.runtime("python"), entrypoint="main.py")
    for change, reason in (
        ({"reference": "9.*"}, "no tag matches '9.*'"),
        ({"rootDirectory": "else"}, "no folder 'else'"),
        ({"repository": "nowhere"}, "has no repository 'team/nowhere'"),
    ):
        deployment = deployed(api, "failures", {**wanted(repository, "0.2.*"), **change})
        assert (deployment["status"], reason in deployment["buildLogs"]) == ("failed", True), (
            deployment["buildLogs"]
        )


def test_requests_that_are_refused_at_once(api: Api, repository: Repository) -> None:
    api.create("refusals", api.runtime("python"), entrypoint="main.py")
    for change, code, kind in (
        ({"owner": ".."}, 404, "provider_repository_not_found"),
        ({"rootDirectory": "../x"}, 404, "provider_repository_not_found"),
        ({"reference": "--upload-pack=x"}, 400, "general_argument_invalid"),
        ({"type": "branch", "reference": "m*"}, 400, "general_argument_invalid"),
    ):
        path = "/functions/refusals/deployments/template"
        assert (
            api.call("POST", path, code, json={**wanted(repository, "0.2.*"), **change})["type"]
            == kind
        )
    api.create("nameless", api.runtime("python"))
    body = wanted(repository, "0.2.*")
    answer = api.call("POST", "/functions/nameless/deployments/template", 404, json=body)
    assert answer["type"] == "function_entrypoint_missing"


def test_no_function_is_connected_to_the_templates(api: Api, repository: Repository) -> None:
    connection = {
        "installationId": ".templates",
        "providerRepositoryId": "team/x",
        "providerBranch": "main",
    }
    body = {"functionId": "connected", "name": "x", "runtime": api.runtime("python"), **connection}
    assert api.call("POST", "/functions", 404, json=body)["type"] == "installation_not_found"


def test_creating_from_a_template_before_1_7(api: Api, repository: Repository) -> None:
    tagged(repository)
    template = {
        "templateOwner": "team",
        "templateRepository": repository.path.name,
        "templateRootDirectory": "fn",
    }
    body = {"name": "x", "runtime": api.runtime("python"), "templateVersion": "0.2.*", **template}
    headers = {"x-appwrite-response-format": "1.6.0"}
    answer = api.call(
        "POST", "/functions", 404, json={**body, "functionId": "without"}, headers=headers
    )
    assert answer["type"] == "function_entrypoint_missing"
    api.call("GET", "/functions/without", 404)
    body = {**body, "functionId": "from-template", "entrypoint": "main.py"}
    api.call("POST", "/functions", 201, json=body, headers=headers)
    (deployment,) = api.call("GET", "/functions/from-template/deployments", 200)["deployments"]
    assert api.built("from-template", deployment["$id"])["status"] == "ready"
    assert api.execute("from-template")["responseBody"] == "0.2.10"


def test_bases_that_git_is_not_given() -> None:
    with pytest.raises(ConfigError, match="MINIFN_TEMPLATES must be an absolute path"):
        Config(templates="ssh://host/x")
