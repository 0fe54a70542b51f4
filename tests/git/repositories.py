"""Real git repositories for tests, made with the git command."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.processes import killed_at_end
from tests.serving import Api, Server

MAIN = "def main(context):\n    return context.res.text({text!r})\n"


def git(
    folder: Path, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, without any user's configuration, and return the finished process."""
    known = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments],
        cwd=folder,
        env={**known, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not check or done.returncode == 0, (
        f"git {' '.join(arguments)}: {done.stdout}{done.stderr}"
    )
    return done


class Repository:
    """A repository with a working tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "-b", "main")

    def commit(
        self, files: Mapping[str, str], message: str = "A change", branch: str = "main"
    ) -> str:
        """Write files on a branch, commit them and return the commit's hash."""
        if branch != self.branch():
            exists = (
                git(self.path, "rev-parse", "--verify", "-q", branch, check=False).returncode == 0
            )
            git(self.path, "checkout", "-q", *([] if exists else ["-b"]), branch)
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.path, "rev-parse", "HEAD").stdout.strip()

    def branch(self) -> str:
        return git(self.path, "symbolic-ref", "--short", "HEAD").stdout.strip()


def answering(text: str) -> str:
    """The code of a function that answers with `text`."""
    return MAIN.format(text=text)


def address(server: Server, function_id: str, key: str = "") -> str:
    """The URL of a function's repository on the server."""
    return f"http://any:{key or server.key}@127.0.0.1:{server.port}/git/{function_id}.git"


def create(api: Api, name: str, **settings: object) -> str:
    """Create a function in Python that everyone may call, and return its id."""
    api.create(
        name, api.runtime("python"), **{"entrypoint": "main.py", "execute": ["any"], **settings}
    )
    return name


@contextmanager
def endless_push(
    repository: Repository, server: Server, api: Api, function_id: str
) -> Iterator[tuple["subprocess.Popen[str]", Iterator[str]]]:
    """Push a new function whose build does not end; give git and the lines after its begin."""
    create(api, function_id, commands="echo begun; while [ ! -e /tmp/never ]; do sleep 0.1; done")
    repository.commit({"main.py": answering("x")})
    push = subprocess.Popen(
        ["git", "push", address(server, function_id), "main"],
        cwd=repository.path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )
    with killed_at_end(push):
        assert push.stderr is not None
        lines = iter(push.stderr.readline, "")
        assert any("remote: begun" in line for line in lines)
        yield push, lines
