"""Templates: lists, deployments and refusals."""

import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from minifn.services.deployments import Template
from tests.api.site import RUNTIME, SiteServer, create_function, refusal
from tests.serving import Api

PYTHON = {"owner": "appwrite", "repository": "templates", "rootDirectory": "python/starter"}
TAG = {"type": "tag", "reference": "0.2.*"}


def test_the_starter(guest: httpx.Client) -> None:
    (starter,) = guest.get("/functions/templates", params={"runtimes[0]": RUNTIME}).json()[
        "templates"
    ]
    folders = {item["providerRootDirectory"] for item in starter["runtimes"]}
    assert "python/starter" in folders
    assert guest.get("/functions/templates/starter").json() == starter
    assert refusal(guest.get("/functions/templates/unknown")) == (
        404,
        "function_template_not_found",
    )
    assert guest.get("/functions/templates", params={"useCases[0]": "ai"}).json() == {
        "total": 0,
        "templates": [],
    }


@pytest.mark.parametrize(
    "reference", [TAG, {"version": "0.2.*"}, {"type": "branch", "reference": "main"}]
)
def test_deploying_a_template(admin: httpx.Client, reference: dict[str, str]) -> None:
    function_id = create_function(admin, entrypoint="", commands="make")["$id"]
    path = f"/functions/{function_id}/deployments"
    answer = admin.post(f"{path}/template", json={**PYTHON, **reference})
    made = answer.json()
    assert (answer.status_code, made["type"], made["status"], made["activate"]) == (
        202,
        "vcs",
        "waiting",
        False,
    )
    assert (made["entrypoint"], made["providerRepositoryOwner"]) == ("src/main.py", "appwrite")
    source = admin.get(f"{path}/{made['$id']}/download").content
    assert len(source) == made["sourceSize"]
    with tarfile.open(fileobj=io.BytesIO(source)) as archive:
        assert {"src/main.py", "requirements.txt"} <= set(archive.getnames())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "else"}, (404, "provider_repository_not_found")),
        ({"rootDirectory": "python/other"}, (404, "provider_repository_not_found")),
        ({"rootDirectory": "../python"}, (404, "provider_repository_not_found")),
        ({"type": "nothing"}, (400, "general_argument_invalid")),
        ({"reference": None}, (400, "general_argument_invalid")),
        ({"repository": None}, (400, "general_argument_invalid")),
    ],
)
def test_unknown_templates(
    admin: httpx.Client, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    path = f"/functions/{create_function(admin)['$id']}/deployments/template"
    assert refusal(admin.post(path, json={**PYTHON, **TAG, **change})) == expected
    answer = admin.post(
        "/functions/unknown/deployments/template", json={**PYTHON, **TAG, "owner": "else"}
    )
    assert refusal(answer) == (404, "function_not_found")


def test_creating_from_a_template_before_1_7(site: SiteServer, admin: httpx.Client) -> None:
    names = {"owner": "Owner", "repository": "Repository", "rootDirectory": "RootDirectory"}
    template = {f"template{names[name]}": value for name, value in PYTHON.items()}
    with site.admin("1.6.0") as client:
        made = create_function(client, **template, templateVersion="0.2.*")
        (deployment,) = client.get(f"/functions/{made['$id']}/deployments").json()["deployments"]
        assert (deployment["type"], deployment["activate"]) == ("manual", True)
        incomplete = create_function(client, **template)
        assert client.get(f"/functions/{incomplete['$id']}/deployments").json()["total"] == 0
        body = {
            "functionId": "from-nowhere",
            "name": "a",
            "runtime": RUNTIME,
            **template,
            "templateVersion": "1",
        }
        answer = client.post("/functions", json={**body, "templateOwner": "else"})
        assert refusal(answer) == (404, "provider_repository_not_found")
        assert client.get("/functions/from-nowhere").status_code == 404
    later = create_function(admin, **template, templateVersion="0.2.*")
    assert admin.get(f"/functions/{later['$id']}/deployments").json()["total"] == 0


@pytest.mark.parametrize("family", ["python", "node", "bun", "deno"])
def test_a_starter_runs(api: Api, family: str) -> None:
    (starter,) = api.call("GET", "/functions/templates", 200)["templates"]
    found = [item for item in starter["runtimes"] if item["name"].startswith(f"{family}-")]
    if not found:
        pytest.skip(
            f"this server can run no {family} functions: install one that minifn doctor finds"
        )
    function_id = f"starter-{family}"
    fields = {name: found[-1][name] for name in ("commands", "entrypoint")}
    api.create(function_id, found[-1]["name"], **fields)
    body = {**PYTHON, **TAG, "rootDirectory": found[-1]["providerRootDirectory"], "activate": True}
    made = api.call("POST", f"/functions/{function_id}/deployments/template", 202, json=body)
    built = api.built(function_id, made["$id"])
    assert built["status"] == "ready", built["buildLogs"]
    assert api.execute(function_id, path="/ping")["responseBody"] == "Pong"
    assert '"path"' in api.execute(function_id, path="/other")["responseBody"]


def test_traces_of_running_a_starter_are_not_deployed(
    site: SiteServer, admin: httpx.Client, tmp_path: Path
) -> None:
    folder = tmp_path / "starter"
    (folder / "src" / "__pycache__").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("x = 1")
    (folder / "src" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"x")
    template = Template(
        folder=folder,
        entrypoint="src/main.py",
        owner="o",
        repository="r",
        url="https://example.com",
    )
    function_id = create_function(admin)["$id"]
    adding = site.site.deployments.add_template(function_id, template, activate=False, kind="vcs")
    with tarfile.open(site.site.data.source(site.run(adding).id)) as packed:
        assert packed.getnames() == ["src", "src/main.py"]
