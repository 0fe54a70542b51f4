"""Names in git, matches of globs, and the bases of installations."""

import re
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.config import Config, ConfigError
from minifn.git import pktlines
from minifn.git.installations import Installation, RepositoryMissing, without_credentials
from minifn.git.program import explain
from minifn.git_names import folder, is_commit, is_reference, is_repository, matches, touches
from minifn.sandbox.command import Exit

REFERENCES = st.from_regex(r"refs/(heads|tags)/[a-z]{1,9}", fullmatch=True)


@given(st.text(alphabet=st.sampled_from("ab-./@{}~^:?*[\\ \x7f\tlock"), min_size=1, max_size=8))
@settings(max_examples=60)
def test_references_are_those_of_git(name: str) -> None:
    checked = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{name}"], check=False, timeout=10
    )
    # A name that git would take for an option is refused as well, and `@` means HEAD.
    expected = checked.returncode == 0 and not name.startswith("-") and name != "@"
    assert is_reference(name) == expected


@pytest.mark.parametrize("name", ["owner/name", "name.git", "a/b/c", "~user/x", "_x"])
def test_repositories(name: str) -> None:
    assert is_repository(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc",
        "../x",
        "a/../b",
        "a//b",
        "-x",
        "a/-x",
        "ext::sh",
        "a b",
        "a/.git",
        "https://x",
        "x\n",
        "a/",
    ],
)
def test_bad_repository_names(name: str) -> None:
    assert not is_repository(name)


def test_commits_are_named_in_full() -> None:
    assert is_commit("a" * 40)
    assert is_commit("0" * 64)
    assert not any(map(is_commit, ("", "a" * 39, "A" * 40, "g" * 40, "a" * 50, "a" * 40 + "\n")))


@pytest.mark.parametrize(
    ("path", "found"),
    [("", ""), ("/", ""), ("./", ""), ("./a/b/", "a/b"), ("/a", "a"), ("a//./b", "a/b")],
)
def test_folders(path: str, found: str) -> None:
    assert folder(path) == found


@pytest.mark.parametrize("path", ["..", "a/../..", "a/.git/hooks", ".GIT", "a\\b", "a\nb"])
def test_folders_stay_inside(path: str) -> None:
    assert folder(path) is None


@pytest.mark.parametrize(
    ("name", "glob", "expected"),
    [
        ("release/1", "release/*", True),
        ("release/1/2", "release/*", False),
        ("release/1/2", "release/**", True),
        ("a/b/c.py", "**/c.py", True),
        ("c.py", "**/c.py", True),
        ("main", "ma?n", True),
        ("ma/n", "ma?n", False),
        ("a.b", "a+b", False),
        ("mainx", "main", False),
    ],
)
def test_globs(name: str, glob: str, expected: bool) -> None:
    assert matches(name, [glob]) == expected


@given(st.text("ab/*?", max_size=8), st.text("ab/", max_size=8))
@settings(max_examples=300)
def test_globs_match_as_the_equal_regular_expression(glob: str, name: str) -> None:
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = re.sub(r"\*\*/|\*\*|\*|\?", lambda found: meanings[found[0]], glob)
    assert matches(name, [glob]) == (re.fullmatch(expression, name) is not None)


@pytest.mark.parametrize(
    "glob", ["*a" * 60 + "b", "**a" * 40 + "b", "**/*" * 30 + "b", "*?" * 60 + "b"]
)
@pytest.mark.parametrize("name", ["a" * 4000, "a/" * 2000])
def test_a_hostile_name_and_glob_are_matched_fast(glob: str, name: str) -> None:
    """Names and globs are untrusted: with backtracking they would take years."""
    assert not matches(name, [glob])


def test_a_glob_of_a_folder_is_for_all_below_it() -> None:
    assert touches(["fn/src/main.py"], ["./fn/"])
    assert touches(["docs/x", "fn/a"], ["other", "fn/*"])
    assert not touches(["fnx/main.py", "docs/fn"], ["fn"])
    assert not touches([], ["**"])
    assert touches(["a"], ["./"])
    assert touches(["a/b"], ["."])


@given(
    st.text("ab/*?.", max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_a_glob_of_a_folder_matches_as_it_would_each_folder(glob: str, parts: list[str]) -> None:
    name = glob.removeprefix("./").strip("/")
    folders = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    everything = name in ("", ".")
    assert touches(["/".join(parts)], [glob]) == (
        everything or any(matches(folder, [name]) for folder in folders)
    )


def test_credentials_leave_the_address(tmp_path: Path) -> None:
    installation = Installation.parse("hub=https://user:to%40ken@example.com/org/")
    remote = installation.remote("name.git")
    assert (remote.url, remote.page) == (
        "https://example.com/org/name.git",
        "https://example.com/org/name",
    )
    assert (remote.owner, remote.name, remote.protocol) == ("org", "name", "https")
    assert remote.authorization == "Basic dXNlcjp0b0BrZW4="
    assert "dXNl" not in repr(installation) + repr(remote)
    assert (
        without_credentials("fatal: https://user:secret@host/x and ssh://a@b")
        == "fatal: https://host/x and ssh://b"
    )
    with pytest.raises(RepositoryMissing):
        Installation.parse(f"local=file://{tmp_path}").remote("nowhere")


@pytest.mark.parametrize(
    "base",
    [
        "ext::sh -c evil",
        "ssh://host/x",
        "relative",
        "https:///x",
        "https://h/?q",
        'https://h/"x',
        "file://host/x",
    ],
)
def test_bases_that_git_is_not_given(base: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config(git_installations=(f"x={base}", "y=/srv"))
    assert base not in str(error.value)


def test_a_limit_is_named_in_the_message() -> None:
    assert "larger than 1,000 bytes" in explain(
        Exit(code=128), "fatal: index-pack died of signal 25", 1000
    )
    assert (
        explain(Exit(code=128), "fatal: https://a:b@c/ is bad\n", 1) == "fatal: https://c/ is bad"
    )


@given(st.dictionaries(REFERENCES, st.sampled_from(["0" * 40, "a" * 40])))
def test_pushes_are_read_as_they_are_written(updates: dict[str, str]) -> None:
    lines = [f"{'b' * 40} {new} {name}\n".encode() for name, new in updates.items()]
    if lines:
        lines[0] = lines[0].rstrip(b"\n") + b"\0 report-status side-band-64k\n"
    push = pktlines.read_push(BytesIO(b"".join(map(pktlines.line, lines)) + b"0000PACK"))
    assert push.updates == updates
    assert push.branches() == {
        name.removeprefix("refs/heads/"): new
        for name, new in updates.items()
        if name.startswith("refs/heads/") and new[0] == "a"
    }
    assert ("side-band-64k" in push.capabilities) == bool(lines)


@given(st.binary(max_size=200))
def test_garbage_is_malformed_or_a_push(content: bytes) -> None:
    try:
        push = pktlines.read_push(BytesIO(content))
    except pktlines.Malformed:
        return
    assert isinstance(push.updates, dict)


def test_long_output_is_cut_into_lines() -> None:
    told = pktlines.progress("é" * 100_000)
    text, at = b"", 0
    while at < len(told):
        length = int(told[at : at + 4], 16)
        assert length <= 65_520
        assert told[at + 4] == 2
        text += told[at + 5 : at + length]
        at += length
    assert text.decode() == "é" * 100_000
