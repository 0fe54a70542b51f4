"""The content that a finished build may have, and the variables that builds inherit."""

import os
from pathlib import Path

import pytest

from minifn.builder import publish
from minifn.builder.publish import Owner, check_usage, seal
from minifn.host.files import remove_tree
from minifn.host.space import TreeRefused, TreeSize, measure
from minifn.sandbox.inherited import passed_paths, passed_through

#: Bytes of a build, more than any of these has.
LIMIT = 1_000_000


def test_files_that_passed_variables_name_are_shown(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "ca.pem").write_text("x")
    (data / "secret.pem").write_text("x")
    environ = {
        "PIP_CERT": f"{tmp_path}/ca.pem",
        "PIP_FIND_LINKS": f"https://wheels.example {tmp_path}/missing",
        "SSL_CERT_DIR": str(tmp_path),
        "NODE_EXTRA_CA_CERTS": f"{data}/secret.pem",
        "API_KEY": "hidden",
    }
    passed = passed_through(environ, ("PIP_*", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"))
    assert set(passed) == {"PIP_CERT", "PIP_FIND_LINKS", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"}
    # A directory above the data directory would show everything in it.
    assert [path for path in passed_paths(passed, data) if path.is_relative_to(tmp_path)] == [
        tmp_path / "ca.pem"
    ]


def test_sealing_refuses_files_of_other_owners(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TreeRefused, match="belongs to another user"):
        seal(tmp_path, Owner(builder_uid=os.geteuid() + 1), (), limit_bytes=LIMIT)


@pytest.mark.parametrize(
    ("link", "accepted"),
    [
        ("/fn/a", True),
        ("/usr/bin/env", True),
        ("/fn/../etc", False),
        ("/fnord", False),
        ("..", False),
    ],
)
def test_links_of_a_build(link: str, accepted: bool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(link)
    owner = Owner(builder_uid=os.geteuid())
    if accepted:
        assert seal(tmp_path, owner, ("/fn", "/usr"), limit_bytes=LIMIT).files == 1
    else:
        with pytest.raises(TreeRefused, match="outside the deployment"):
            seal(tmp_path, owner, ("/fn", "/usr"), limit_bytes=LIMIT)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (("program",), {"program"}),
        (("*.jar", "data"), {"a.jar", "data", "data/deep", "data/deep/x.txt", "data/y.txt"}),
        (("data/*/x.*",), {"data", "data/deep", "data/deep/x.txt"}),
        (("data/none", "link"), {"data", "link"}),
        (("none",), set()),
    ],
)
def test_only_what_workers_need_is_kept(
    keep: tuple[str, ...], left: set[str], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.txt").touch()
    code = tmp_path / "code"
    for name in ("program", "a.jar", "data/y.txt", "data/deep/x.txt", "closed/z", "b.jar.txt"):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).touch()
    (code / "link").symlink_to(outside)
    (code / "closed").chmod(0)
    seal(code, Owner(builder_uid=os.geteuid()), (str(outside),), limit_bytes=LIMIT, keep=keep)
    assert {str(path.relative_to(code)) for path in code.rglob("*")} == left
    assert (outside / "x.txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes owners: run the tests as root too")
def test_a_file_with_two_names_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "again").hardlink_to(tmp_path / "file")
    (tmp_path / "foreign").write_text("x")
    (tmp_path / "foreign too").hardlink_to(tmp_path / "foreign")
    os.chown(tmp_path / "file", 20_301, 20_301)
    owner = Owner(builder_uid=20_301, uid=0, gid=20_301)
    with pytest.raises(TreeRefused, match=r"'foreign( too)?' belongs to another user"):
        seal(tmp_path, owner, (), limit_bytes=LIMIT)
    (tmp_path / "foreign").unlink()
    (tmp_path / "foreign too").unlink()
    os.chown(tmp_path / "file", 20_301, 20_301)
    assert seal(tmp_path, owner, (), limit_bytes=LIMIT).files == 2
    assert (tmp_path / "again").stat().st_uid == 0


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "big").write_bytes(b"x" * 1000)
    build = tmp_path / "build"
    build.mkdir()
    (build / "own").write_bytes(b"x" * 10)
    (build / "link").symlink_to(outside)
    assert measure(build) == TreeSize(size_bytes=10, files=2)
    assert seal(
        build, Owner(builder_uid=os.geteuid()), (str(outside),), limit_bytes=LIMIT
    ) == TreeSize(size_bytes=10, files=2)
    assert outside.stat().st_mode & 0o777 == 0o755


def test_too_large_a_build_is_refused() -> None:
    check_usage(TreeSize(size_bytes=5000, files=publish.OUTPUT_FILES_MAX), 5000)
    with pytest.raises(TreeRefused, match=r"larger than 5,000 bytes .*MINIFN_BUILD_LIMIT"):
        check_usage(TreeSize(size_bytes=5001), 5000)
    with pytest.raises(TreeRefused, match="files and directories"):
        check_usage(TreeSize(files=publish.OUTPUT_FILES_MAX, directories=1), 5000)


def test_directories_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    expected = TreeSize(files=1, directories=2)
    assert measure(tmp_path) == expected
    assert seal(tmp_path, Owner(builder_uid=os.geteuid()), (), limit_bytes=LIMIT) == expected


def test_a_closed_directory_hides_nothing(data: Path) -> None:
    build = data.parent / "build"
    (build / "closed").mkdir(parents=True)
    (build / "closed" / "file").write_bytes(bytes(1000))
    (build / "closed").chmod(0o300)
    if os.geteuid():
        with pytest.raises(TreeRefused, match="'closed' is closed to the server"):
            measure(build)
    else:
        assert measure(build) == TreeSize(size_bytes=1000, files=1, directories=1)
    (build / "closed").chmod(0o700)


def test_a_hostile_tree_is_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    (tree / "a" / "b" / "closed").mkdir(parents=True)
    (tree / "a" / "b" / "link").symlink_to(outside)
    (tree / "a" / "b" / "closed" / "file").write_text("x")
    for name in ("a/b/closed", "a/b", "a"):
        (tree / name).chmod(0)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o755
    remove_tree(tree)
