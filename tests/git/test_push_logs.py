"""The build log that is sent to the client of a push."""

import os
import subprocess

from minifn.limits import LOG_LIMIT_CHARS
from tests.git.repositories import Repository, address, answering, create, endless_push, git
from tests.serving import Api, Server

#: Lines of 60 characters, a third more of them than a log keeps.
LINES = LOG_LIMIT_CHARS * 4 // 3 // 60
PADDING = "." * 48


def test_every_line_of_a_long_log_is_shown(
    api: Api, git_server: Server, repository: Repository
) -> None:
    commands = f"seq -f '%06.0f {PADDING}' 1 {LINES}; echo an error at the end >&2; false"
    function_id = create(api, "talkative", commands=commands)
    repository.commit({"main.py": answering("x")})
    told = git(repository.path, "push", address(git_server, function_id), "main").stderr
    rows = [row.removeprefix("remote: ").rstrip() for row in told.splitlines()]
    assert [row for row in rows if row.endswith(PADDING)] == [
        f"{number + 1:06} {PADDING}" for number in range(LINES)
    ]
    assert "an error at the end" in rows
    assert "-----> Build failed: the active deployment stays as it was." in rows


def test_a_log_reaches_the_terminal_without_control_characters(
    api: Api, git_server: Server, repository: Repository
) -> None:
    commands = r"printf '\033[31mred\033[0m \033]0;title\007\033[2Jcleared\b\n10 %%\r20 %%\n'"
    function_id = create(api, "colourful", commands=commands)
    repository.commit({"main.py": answering("x")})
    done = subprocess.run(
        ["git", "push", address(git_server, function_id), "main"],
        cwd=repository.path,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
        stderr=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    told = done.stderr.decode()
    rows = [row.removeprefix("remote: ").rstrip() for row in told.splitlines()]
    assert {"red cleared", "10 %", "20 %"} <= set(rows)
    assert {char for char in told if ord(char) < 32 or 127 <= ord(char) < 160} == {"\n"}
    (deployment,) = api.call("GET", f"/functions/{function_id}/deployments", 200)["deployments"]
    assert "\x1b[31mred" in deployment["buildLogs"]


def test_a_failed_fetch_is_reported(api: Api, git_server: Server, repository: Repository) -> None:
    function_id = create(api, "elsewhere", providerRootDirectory="not/there")
    repository.commit({"main.py": answering("x")})
    told = git(repository.path, "push", address(git_server, function_id), "main").stderr
    assert "the commit has no folder 'not/there'" in told
    assert "-----> Build failed" in told


def test_a_push_ends_with_its_function(
    api: Api, git_server: Server, repository: Repository
) -> None:
    with endless_push(repository, git_server, api, "short-lived") as (pushing, lines):
        api.call("DELETE", "/functions/short-lived", 204)
        assert any("The deployment was deleted." in row for row in lines)
        assert pushing.wait(20) == 0


def test_logs_of_several_branches_come_one_after_the_other(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "several", commands="cat said")
    for branch in ("one", "two", "three"):
        repository.commit(
            {"main.py": answering(branch), "said": f"this is {branch}\n"}, branch=branch
        )
    told = git(
        repository.path, "push", address(git_server, function_id), "one", "two", "three"
    ).stderr
    rows = [row.removeprefix("remote: ").rstrip() for row in told.splitlines()]
    marks = [row for row in rows if row.startswith(("-----> Building", "this is", "-----> Built"))]
    building = [row for row in marks if row.startswith("-----> Building")]
    assert len(building) == 3
    for number, row in enumerate(building):
        branch = row.split(" from ")[1].split()[0]
        assert marks[3 * number : 3 * number + 2] == [row, f"this is {branch}"]


def test_archives_of_pushed_commits_are_whole(
    api: Api, git_server: Server, repository: Repository
) -> None:
    function_id = create(api, "attributes")
    attributes = "main.py export-ignore\n*.txt export-subst\n"
    repository.commit(
        {"main.py": answering("whole"), "a.txt": "$Format:%H$", ".gitattributes": attributes}
    )
    target = address(git_server, function_id)
    git(repository.path, "push", target, "main")
    assert api.execute(function_id)["responseBody"] == "whole"
    # A repository from before minifn kept attributes in it, or one whose file a loss of power
    # emptied.
    for content in ("", None):
        file = (
            git_server.data
            / "repositories"
            / function_id
            / "repository.git"
            / "info"
            / "attributes"
        )
        file.unlink() if content is None else file.write_text(content)
        asked = api.call("POST", f"/functions/{function_id}/deployments/vcs", 202, json={
            "type": "branch", "reference": "main", "activate": True,
        })  # fmt: skip
        assert api.built(function_id, asked["$id"])["status"] == "ready"
    missing = api.call("POST", f"/functions/{function_id}/deployments/vcs", 202, json={
        "type": "branch", "reference": "nowhere",
    })  # fmt: skip
    assert "nowhere" in api.built(function_id, missing["$id"])["buildLogs"]
