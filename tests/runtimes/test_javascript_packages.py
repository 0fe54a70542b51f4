"""Packages of Bun and Deno: the build installs them, and workers ask no registry."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from minifn.languages import RuntimeTable
from tests.builder.npm_registry import serving
from tests.runtimes.conftest import newest
from tests.runtimes.contract.site import opened
from tests.runtimes.contract.table import NOTICE, Family

HANDLER = "export default ({ res }) => res.text('up');\n"
#: `pnpm` stands for any package with a module `cli.js`, which prints its name and version.
DEPENDS = json.dumps({"dependencies": {"pnpm": "^8.0.0"}})
MAPS = json.dumps({"imports": {"tool": "npm:pnpm@^8.0.0/cli.js"}})


@dataclass(frozen=True, kw_only=True)
class Written(Family):
    """A family with programs in another folder."""

    folder: Path

    def programs(self) -> Path:
        """Return the folder."""
        return self.folder


@pytest.mark.parametrize(
    ("key", "files", "says"),
    [
        (
            "bun",
            {"package.json": DEPENDS, "main.ts": f'import "pnpm/cli.js";\n{HANDLER}'},
            "running `bun install --production`",
        ),
        ("deno", {"main.ts": f'import "npm:pnpm@8.0.0/cli.js";\n{HANDLER}'}, "+ npm:pnpm 8.0.0"),
        ("deno", {"deno.json": MAPS, "main.ts": f'import "tool";\n{HANDLER}'}, "+ npm:pnpm 8.0.0"),
        (
            "deno",
            {"package.json": DEPENDS, "main.ts": f'import "pnpm/cli.js";\n{HANDLER}'},
            "running `deno install --prod`",
        ),
    ],
)
def test_packages_come_with_the_build(
    key: str,
    files: dict[str, str],
    says: str,
    runtime_table: RuntimeTable,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = newest(runtime_table, key)
    (tmp_path / "fn").mkdir()
    for name, text in files.items():
        (tmp_path / "fn" / name).write_text(text)
    family = Written(key=key, entry="main.ts", folder=tmp_path)
    with ExitStack() as registry:
        monkeypatch.setenv("npm_config_registry", registry.enter_context(serving()))
        with opened(family, runtime, data) as site:
            built = site.run(site.built("fn"))
            assert built.status == "ready", built.build_logs
            assert says in built.build_logs
            registry.close()
            answer = site.run(site.run(site.caller("fn"))())
            assert (answer.body, answer.errors) == (b"up", "")
            assert answer.logs == f"{NOTICE}\npnpm 8.0.0\n"
