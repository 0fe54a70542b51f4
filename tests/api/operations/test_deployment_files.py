"""The files of a deployment as they were uploaded, and how the server is."""

import httpx

from tests.api.site import SiteServer, create_function, refusal, upload
from tests.serving import Api


def test_files_and_their_content(site: SiteServer, admin: httpx.Client) -> None:
    deployment_id = upload(admin, create_function(admin)["$id"])["$id"]
    path = f"/minifn/deployments/{deployment_id}/files"
    assert admin.get(path).json() == {
        "total": 1, "files": [{"path": "main.py", "size": 22, "binary": False}]
    }  # fmt: skip
    content = admin.get(f"{path}/content", params={"path": "main.py"}).json()
    assert content == {"path": "main.py", "size": 22, "content": "def main(context): ..."}
    missing = admin.get(f"{path}/content", params={"path": "../admin.key"})
    assert refusal(missing) == (400, "general_bad_request")
    _, secret = site.run(site.site.keys.create("x", ["functions.read"], functions=["other-*"]))
    with site.client(x_appwrite_key=secret) as other:
        assert refusal(other.get(path)) == (404, "deployment_not_found")


def test_the_health_of_a_server(api: Api) -> None:
    found = api.call("GET", "/minifn/health", 200)
    names = {one["name"] for one in found["checks"]}
    assert {"engine", "python", "disk", "memory", "git", "data directory"} <= names
    assert all(one["state"] in ("ON", "DEGRADED", "OFF") for one in found["checks"])
    assert found["engine"] in {one["text"].partition(":")[0] for one in found["checks"]}
    assert found["queue"] == 0
    assert min(found["memoryBytes"], found["databaseBytes"], found["diskFreeBytes"]) > 1000
    assert 0 <= found["uptimeSeconds"] < 3600
