"""The packing of a folder: what git would take, the same bytes each time, nothing outside."""

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from minifn.archive.packing import NothingToPack, PackingRules, pack_folder
from minifn.host.datadir import DataDir


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def members(folder: Path, *ignore: str) -> list[tarfile.TarInfo]:
    buffer = io.BytesIO()
    pack_folder(folder, buffer, ignore)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer, mode="r:gz") as archive:
        return archive.getmembers()


def names(folder: Path, *ignore: str) -> list[str]:
    return [member.name for member in members(folder, *ignore)]


def test_ignore_files_count_in_every_folder(tmp_path: Path) -> None:
    """Nested and negated; nothing below a folder that is left out comes back."""
    folder = written(
        tmp_path,
        {
            ".gitignore": "*.log\nbuild/\n!build/kept\n/only_here\n",
            "main.py": "",
            "a.log": "",
            "build/kept": "",
            "only_here": "",
            "sub/only_here": "",
            "sub/.gitignore": "!important.log\n*.tmp\n",
            "sub/important.log": "",
            "sub/deep/x.tmp": "",
            "x.tmp": "",
        },
    )
    assert names(folder) == [
        ".gitignore", "main.py", "sub/.gitignore", "sub/important.log", "sub/only_here", "x.tmp"
    ]  # fmt: skip


def test_minifnignore_and_more_patterns_go_before_gitignore(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {
            ".gitignore": "dist/\n",
            ".minifnignore": "!dist/\ntests/\n",
            "dist/app.js": "",
            "tests/test_app.js": "",
            "notes.md": "",
            "secret.pem": "",
        },
    )
    kept = [".gitignore", ".minifnignore", "dist/app.js", "notes.md"]
    assert names(folder, "*.pem") == kept
    assert names(folder, "*.pem", "dist", "!tests/") == [
        ".gitignore", ".minifnignore", "notes.md", "tests/test_app.js"
    ]  # fmt: skip


def test_rules_of_the_repository_above_count(tmp_path: Path) -> None:
    """Up to its root, and not when they leave out the folder itself."""
    written(
        tmp_path,
        {
            ".gitignore": "*.outside\n",
            "repo/.git/HEAD": "",
            "repo/.gitignore": "*.secret\nfunctions/hello/data/\ngenerated/\n",
            "repo/functions/hello/main.py": "",
            "repo/functions/hello/a.secret": "",
            "repo/functions/hello/a.outside": "",
            "repo/functions/hello/data/x": "",
            "repo/generated/main.py": "",
        },
    )
    assert names(tmp_path / "repo/functions/hello") == ["a.outside", "main.py"]
    assert names(tmp_path / "repo/generated") == ["main.py"]


def test_what_is_made_again_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    files = {"main.py": "", "node_modules/a/index.js": "", ".git/config": "", "a.pyc": ""}
    folder = written(tmp_path, {**files, ".minifn/link.json": "", "vendor/.git": ""})
    assert names(folder) == ["main.py"]
    asked = names(folder, "!node_modules/", "!.git", "!.minifn/")
    assert asked == ["main.py", "node_modules/a/index.js"]


def test_data_directories_of_servers_are_never_packed(tmp_path: Path) -> None:
    """`minifn serve` keeps its keys in the directory in which it was started."""
    (tmp_path / "main.py").touch()
    for place in (tmp_path / "minifn-data", tmp_path / "deep/other"):
        DataDir(place).prepare()
        (place / "minifn.db").touch()
        (place / "admin.key").touch()
        assert (place / ".gitignore").read_text() == "*\n"
        (place / ".gitignore").unlink()
    assert list(PackingRules(tmp_path).files()) == ["main.py"]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    for place, buffer in (("b", first), ("a", second)):
        folder = written(tmp_path / place, {"z.py": "1", "a/b.py": "2", "run.sh": "3"})
        (folder / "run.sh").chmod(0o775)
        (folder / "z.py").chmod(0o600)
        os.utime(folder / "z.py", (len(place), ord(place)))
        assert pack_folder(folder, buffer) == 3
    assert first.getvalue() == second.getvalue()
    modes = {member.name: member.mode for member in members(tmp_path / "a")}
    assert modes == {"a/b.py": 0o644, "run.sh": 0o755, "z.py": 0o644}


def test_links_stay_links_and_devices_are_left_out(tmp_path: Path) -> None:
    """Nothing outside of the folder is read, and no pipe is waited for."""
    written(tmp_path, {"outside/secret": "x", "folder/main.py": "", "folder/lib/a.py": ""})
    folder = tmp_path / "folder"
    (folder / "away").symlink_to(tmp_path / "outside")
    (folder / "one").symlink_to("lib")
    os.mkfifo(folder / "pipe")
    found = {member.name: member.linkname for member in members(folder)}
    assert found == {
        "away": str(tmp_path / "outside"), "lib/a.py": "", "main.py": "", "one": "lib"
    }  # fmt: skip


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(NothingToPack, match=str(tmp_path)):
        names(written(tmp_path, {"node_modules/a": ""}))
    with pytest.raises(FileNotFoundError):
        names(tmp_path / "missing")


def test_one_path_is_asked_about_with_its_folders(tmp_path: Path) -> None:
    folder = written(tmp_path, {".gitignore": "build/\n*.log\n"})
    rules = PackingRules(folder)
    assert rules.leaves_out("build/deep/x.py")
    assert rules.leaves_out("build", directory=True)
    assert not rules.leaves_out("build")
    assert rules.leaves_out(".git/HEAD")
    assert not rules.leaves_out("src/main.py")


def test_lines_that_git_cannot_read_match_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path, {".gitignore": "!\n/\n\\\n[\n# text\n\n*.log\n", "a.log": ""})
    assert names(folder) == [".gitignore"]


NAMES = st.sampled_from(["a", "b", "a.log", "b.py", "build", "x y"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(
    ["a", "b", "*", "*.log", "**", "build", "?", "[ab]", "[!a]", "a*", "\\a", "b.py", "[[:alpha:]]"]
)
PATTERNS = st.builds(
    lambda negated, rooted, pieces, ending: negated + rooted + "/".join(pieces) + ending,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(PIECES, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on PATH: install git")
@given(
    paths=st.sets(PATHS, min_size=1, max_size=8),
    rules=st.dictionaries(
        st.sampled_from(["", "a/", "b/", "a/b/"]), st.lists(PATTERNS, max_size=4), max_size=3
    ),
)
@settings(max_examples=60)
def test_git_takes_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], rules: dict[str, list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("repository")
    for path in sorted(paths):
        # A file may be in the way of a folder, or the other way round: the rest is enough.
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            written(folder, {path: ""})
    for place, lines in rules.items():
        if (folder / place).is_dir():
            written(folder, {f"{place}.gitignore": "\n".join(lines) + "\n"})
    subprocess.run(["git", "init", "-q", folder], check=True)
    command = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    listed = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True)
    assert set(PackingRules(folder).files()) == set(listed.stdout.decode().split("\0")) - {""}
    shutil.rmtree(folder)
