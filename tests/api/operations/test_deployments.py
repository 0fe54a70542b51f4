"""Deployments over HTTP: uploads of every SDK, the paths of 1.6 and 1.8, and downloads."""

import gzip
import io
import json
import os
import tarfile
import time
from typing import Any

import httpx
import pytest

from minifn.limits import CHUNK_BYTES
from minifn.tokens import UserClaims
from tests.api.site import ARCHIVE, SiteServer, archive, create_function, deploy, refusal, upload


def send_chunk(
    client: httpx.Client,
    function_id: str,
    parts: dict[str, bytes],
    content_range: str,
    deployment_id: str = "",
) -> httpx.Response:
    headers = {"content-range": content_range}
    if deployment_id:
        headers["x-appwrite-id"] = deployment_id
    files = {name: (ARCHIVE, content) for name, content in parts.items()}
    path = f"/functions/{function_id}/deployments"
    return client.post(path, files=files, data={"activate": "true"}, headers=headers)


def ranges(total: int) -> list[tuple[int, int]]:
    return [(start, min(start + CHUNK_BYTES, total) - 1) for start in range(0, total, CHUNK_BYTES)]


def test_upload_and_get(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    created = upload(admin, function_id, entrypoint="src/main.py", commands="")
    assert (created["status"], created["type"], created["activate"]) == ("waiting", "manual", True)
    assert created["entrypoint"] == "src/main.py"
    assert created["resourceId"] == function_id
    assert created["size"] == created["sourceSize"] == len(archive())
    assert (created["chunksTotal"], created["chunksUploaded"]) == (1, 1)
    path = f"/functions/{function_id}/deployments"
    assert admin.get(f"{path}/{created['$id']}").json() == created
    listed = admin.get(path).json()
    assert (listed["total"], [item["$id"] for item in listed["deployments"]]) == (
        1,
        [created["$id"]],
    )
    assert not list(site.site.data.deployments.glob("upload-*"))


def test_an_upload_of_the_cli_is_recorded(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    answer = admin.post(
        f"/functions/{function_id}/deployments",
        files={"code": (ARCHIVE, archive())},
        data={"activate": "0"},
        headers={"x-sdk-language": "cli"},
    )
    assert (answer.json()["type"], answer.json()["activate"]) == ("cli", False)


def test_the_order_of_checks_of_an_upload(admin: httpx.Client) -> None:
    good: dict[str, Any] = {"files": {"code": (ARCHIVE, archive())}, "data": {"activate": "true"}}

    def refused(function_id: str, **changes: Any) -> tuple[int, str]:
        return refusal(admin.post(f"/functions/{function_id}/deployments", **{**good, **changes}))

    bare = create_function(admin, entrypoint="")["$id"]
    ready = create_function(admin)["$id"]
    assert refused("unknown", data={}) == (400, "general_argument_invalid")
    assert refused("unknown", data={"activate": "maybe"}) == (400, "general_argument_invalid")
    assert refused(ready, data={"activate": "true", "entrypoint": ""}) == (
        400,
        "general_argument_invalid",
    )
    assert refused("unknown") == (404, "function_not_found")
    assert refused(bare, files={"other": ("a", b"x")}) == (404, "function_entrypoint_missing")
    assert refused(ready, files={"other": ("a", b"x")}) == (400, "storage_file_empty")
    assert refused(ready, files=None) == (400, "storage_file_empty")
    assert refused(ready, files={"code": ("code.zip", b"x")}) == (
        400,
        "storage_file_type_unsupported",
    )
    for wrong in ("bytes 5-1/9", "bytes 0-1", "items 0-1/2", "bytes 0-9/5"):
        assert refused(ready, headers={"content-range": wrong}) == (
            400,
            "storage_invalid_content_range",
        ), wrong
    big = {"content-range": "bytes 0-5242879/30000001"}
    assert refused(ready, headers=big) == (400, "deployment_invalid_file_size")
    before = {**big, "x-appwrite-response-format": "1.9.5"}
    assert refused(ready, headers=before) == (400, "storage_invalid_file_size")


@pytest.mark.parametrize(
    ("version", "kind"),
    [("2.0.0", "deployment_invalid_file_size"), ("1.9.5", "storage_invalid_file_size")],
)
def test_a_body_longer_than_any_upload(site: SiteServer, version: str, kind: str) -> None:
    with site.admin(version) as client:
        function_id = create_function(client)["$id"]
        answer = client.post(
            f"/functions/{function_id}/deployments",
            files={"code": (ARCHIVE, bytes(38_000_000))},
            data={"activate": "true"},
        )
        assert refusal(answer) == (400, kind)


@pytest.mark.parametrize("quirk", ["sliced", "whole file every time"])
def test_chunks_in_any_order(site: SiteServer, admin: httpx.Client, quirk: str) -> None:
    """SDKs send the slice as `code`; Node 14 to 17 as `file`, and the whole archive as `code`."""
    content = gzip.compress(os.urandom(2 * CHUNK_BYTES + 1000), 0)
    function_id = create_function(admin)["$id"]
    deployment_id = ""
    order = ranges(len(content))
    for first, last in (order[0], order[2], order[1], order[1]):
        part = content[first : last + 1]
        parts = {"code": part} if quirk == "sliced" else {"code": content, "file": part}
        answer = send_chunk(
            admin, function_id, parts, f"bytes {first}-{last}/{len(content)}", deployment_id
        )
        assert answer.status_code == 202, answer.text
        deployment = answer.json()
        deployment_id = deployment["$id"]
        assert deployment["chunksTotal"] == 3
        assert admin.get(f"/functions/{function_id}/deployments/{deployment_id}").status_code == 200
    assert deployment["chunksUploaded"] == 3
    downloaded = admin.get(f"/functions/{function_id}/deployments/{deployment_id}/download")
    assert downloaded.content == content


def test_a_single_chunk_with_a_range(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    content = archive()
    answer = send_chunk(
        admin,
        function_id,
        {"code": content},
        f"bytes 0-{len(content) - 1}/{len(content)}",
        "chosen",
    )
    assert (answer.status_code, answer.json()["$id"]) == (202, "chosen")
    assert answer.json()["chunksUploaded"] == answer.json()["chunksTotal"] == 1


def test_a_trailing_slash_is_no_route(admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    answer = admin.get(f"/functions/{function_id}/deployments/")
    assert refusal(answer) == (404, "general_route_not_found")


@pytest.mark.parametrize("version", ["1.6.0", "1.8.0"])
def test_activate(site: SiteServer, version: str) -> None:
    with site.admin(version) as client:
        function_id = create_function(client)["$id"]
        deployment_id = upload(client, function_id, activate="false")["$id"]

        def activate(chosen: str) -> httpx.Response:
            if version == "1.6.0":
                return client.patch(f"/functions/{function_id}/deployments/{chosen}", json={})
            return client.patch(
                f"/functions/{function_id}/deployment", json={"deploymentId": chosen}
            )

        assert refusal(activate("unknown")) == (404, "deployment_not_found")
        assert refusal(activate(deployment_id)) == (400, "build_not_ready")
        site.run(site.site.build(deployment_id))
        name = "deployment" if version == "1.6.0" else "deploymentId"
        assert client.get(f"/functions/{function_id}").json()[name] == ""
        assert activate(deployment_id).json()[name] == deployment_id
        assert client.get(f"/functions/{function_id}").json()[name] == deployment_id


def test_deployments_of_another_function_do_not_exist(
    site: SiteServer, admin: httpx.Client
) -> None:
    mine, other = create_function(admin)["$id"], deploy(site, admin)
    foreign = admin.get(f"/functions/{other}").json()["deploymentId"]
    for method, path in (
        ("GET", f"deployments/{foreign}"),
        ("PATCH", f"deployments/{foreign}"),
        ("DELETE", f"deployments/{foreign}"),
        ("GET", f"deployments/{foreign}/download"),
        ("POST", f"deployments/{foreign}/build"),
        ("PATCH", f"deployments/{foreign}/status"),
    ):
        answer = admin.request(method, f"/functions/{mine}/{path}")
        assert refusal(answer) == (404, "deployment_not_found"), path
        unknown = admin.request(method, f"/functions/unknown/{path}")
        assert refusal(unknown) == (404, "function_not_found"), path


def test_rebuild_in_every_spelling(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin, entrypoint="old.py")
    first = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    base = f"/functions/{function_id}/deployments"
    again = admin.post(f"{base}/duplicate", json={"deploymentId": first, "buildId": "x"})
    assert (again.status_code, again.json()["status"]) == (202, "waiting")
    assert again.json()["$id"] != first
    assert admin.post(f"{base}/{first}/build", json={}).status_code == 202
    with site.admin("1.6.0") as old:
        for path in (f"{base}/{first}/build", f"{base}/{first}/builds/anything"):
            answer = old.post(path, json={})
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["content-type"].startswith("text/plain")
    assert admin.get(base).json()["total"] == 5


def test_cancel_in_every_spelling(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    base = f"/functions/{function_id}/deployments"
    ready = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    assert refusal(admin.patch(f"{base}/{ready}/status")) == (400, "build_already_completed")
    waiting = upload(admin, function_id)["$id"]
    for _ in range(2):
        assert admin.patch(f"{base}/{waiting}/status", json={}).json()["status"] == "canceled"
    assert admin.patch(f"{base}/{waiting}/build", json={}).json()["$id"] == waiting
    with site.admin("1.6.0") as old:
        build = old.patch(f"{base}/{waiting}/build", json={}).json()
        assert set(build) == {
            "$id",
            "deploymentId",
            "status",
            "stdout",
            "stderr",
            "startTime",
            "endTime",
            "duration",
            "size",
        }
        assert (build["deploymentId"], build["status"]) == (waiting, "canceled")


def test_delete_the_active_deployment(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    active = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    path = f"/functions/{function_id}/deployments/{active}"
    assert admin.delete(path).status_code == 204
    assert refusal(admin.delete(path)) == (404, "deployment_not_found")
    assert admin.get(f"/functions/{function_id}").json()["deploymentId"] == ""
    assert not site.site.data.source(active).exists()


def test_list_as_the_cli_pulls_and_with_a_selection(site: SiteServer, admin: httpx.Client) -> None:
    function_id = create_function(admin)["$id"]
    ids = [upload(admin, function_id)["$id"] for _ in range(3)]
    path = f"/functions/{function_id}/deployments"
    newest = admin.get(
        path, params={"queries[0]": '{"method":"orderDesc","values":["$id"]}'}
    ).json()
    assert [item["$id"] for item in newest["deployments"]] == ids[::-1]
    chosen = admin.get(
        path, params={"queries[0]": '{"method":"select","values":["status"]}'}
    ).json()
    assert set(chosen["deployments"][0]) == {"$id", "$createdAt", "$updatedAt", "status"}
    whole = newest["deployments"][0]
    newest_first = {
        "queries[1]": '{"method":"orderDesc","attribute":""}',
        "queries[2]": '{"method":"limit","values":[1]}',
    }
    for name in sorted(whole):
        query = json.dumps({"method": "select", "values": [name]})
        [item] = admin.get(path, params={"queries[0]": query, **newest_first}).json()["deployments"]
        assert item[name] == whole[name], name
    unknown = admin.get(
        path, params={"queries[0]": '{"method":"select","values":["deploymentPath"]}'}
    )
    assert refusal(unknown) == (400, "general_argument_invalid")
    with site.admin("1.6.0") as old:
        refused = old.get(path, params={"queries[0]": '{"method":"select","values":["status"]}'})
        assert refusal(refused) == (400, "general_argument_invalid")
    assert (
        refusal(admin.get("/functions/unknown/deployments", params={"queries[0]": "{"}))[0] == 400
    )
    assert refusal(admin.get("/functions/unknown/deployments")) == (404, "function_not_found")


def test_download_whole_and_in_part(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    deployment_id = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    path = f"/functions/{function_id}/deployments/{deployment_id}/download"
    content = site.site.data.source(deployment_id).read_bytes()
    whole = admin.get(path)
    assert whole.content == content
    assert whole.headers["content-type"] == "application/gzip"
    assert (
        whole.headers["content-disposition"]
        == f'attachment; filename="{deployment_id}-source.tar.gz"'
    )
    assert whole.headers["cache-control"] == "private, max-age=3888000"
    part = admin.get(path, headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, content[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(content)}"
    assert part.headers["content-length"] == "4"
    assert admin.get(path, headers={"range": "bytes=5-"}).content == content[5:]
    for wrong in (
        "bytes=5-5",
        "bytes=5-4",
        f"bytes=0-{len(content)}",
        "items=0-1",
        "bytes=0-1,3-4",
        "bytes=-5",
    ):
        assert refusal(admin.get(path, headers={"range": wrong})) == (
            416,
            "storage_invalid_range",
        ), wrong
    with site.admin("1.6.0") as old:
        assert f'filename="{deployment_id}.tar.gz"' in old.get(path).headers["content-disposition"]


def test_download_of_the_build(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    deployment_id = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    path = f"/functions/{function_id}/deployments/{deployment_id}"
    site.site.data.build(deployment_id).joinpath("main.py").write_bytes(b"x")
    output = admin.get(f"{path}/download", params={"type": "output"})
    with tarfile.open(fileobj=io.BytesIO(output.content)) as packed:
        assert packed.getnames() == ["main.py"]
    assert f'filename="{deployment_id}-output-code.tar.gz"' in output.headers["content-disposition"]
    assert output.headers["content-type"] == "application/octet-stream"
    with site.admin("1.9.5") as before:
        older = before.get(f"{path}/download", params={"type": "output"})
        assert f'filename="{deployment_id}-output.tar.gz"' in older.headers["content-disposition"]
        assert (older.headers["content-type"], older.content) == (
            "application/gzip",
            output.content,
        )
    assert admin.get(f"{path}/build/download").content == output.content
    wrong = admin.get(f"{path}/download", params={"type": "log"})
    assert refusal(wrong) == (400, "general_argument_invalid")


def test_a_token_lets_a_guest_download_one_archive(
    site: SiteServer, admin: httpx.Client, guest: httpx.Client
) -> None:
    function_id = deploy(site, admin)
    path = f"/functions/{function_id}/deployments"
    deployment_id = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    other = site.run(site.site.deployments.rebuild(function_id, deployment_id))
    made = admin.post(f"{path}/{deployment_id}/token", json={"duration": 60})
    assert made.status_code == 201, made.text
    token = made.json()["token"]

    def asked(deployment_id: str, **params: str) -> httpx.Response:
        return guest.get(f"{path}/{deployment_id}/download", params=params)

    assert (
        asked(deployment_id, token=token).content
        == admin.get(f"{path}/{deployment_id}/download").content
    )
    assert refusal(asked(deployment_id)) == (401, "general_unauthorized_scope")
    assert refusal(asked(deployment_id, token=token, type="output")) == (401, "user_unauthorized")
    assert refusal(asked(other.id, token=token)) == (401, "user_unauthorized")
    now = int(time.time())
    for wrong in (
        site.site.tokens.mint_download(deployment_id, "source", now - 1),
        site.site.tokens.mint_user(UserClaims(user_id="ada", exp=now + 60)),
        f"{token}x",
        "",
    ):
        assert refusal(asked(deployment_id, token=wrong)) == (401, "user_unauthorized")
    assert admin.get(f"{path}/{deployment_id}/download", params={"token": "x"}).status_code == 200
    output = admin.post(f"{path}/{other.id}/token", json={"type": "output"})
    assert refusal(output) == (404, "deployment_not_found")
    assert refusal(guest.post(f"{path}/{deployment_id}/token", json={})) == (
        401,
        "general_unauthorized_scope",
    )


def test_download_names_its_project_in_the_query(site: SiteServer, admin: httpx.Client) -> None:
    function_id = deploy(site, admin)
    deployment_id = admin.get(f"/functions/{function_id}").json()["deploymentId"]
    path = f"/functions/{function_id}/deployments/{deployment_id}/download"
    with site.client(x_appwrite_project="", x_appwrite_key="admin-key") as client:
        assert client.get(path, params={"project": "minifn"}).status_code == 200
        assert refusal(client.get(path)) == (401, "general_access_forbidden")
        assert refusal(client.get(path, params={"project": "other"})) == (404, "project_not_found")
