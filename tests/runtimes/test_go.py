"""Builds of Go: one compiles the function alone, and no engine lets one change shared files."""

import asyncio
from pathlib import Path

import pytest

from minifn.builder.toolchains import is_whole
from minifn.languages import RuntimeTable
from minifn.models import Deployment
from minifn.services.functions import FunctionSettings
from tests.runtimes.conftest import newest
from tests.runtimes.contract.site import Site, deployed, opened
from tests.runtimes.families.go import FAMILY
from tests.serving import pack

TYPES = "github.com/open-runtimes/types-for-go/v4"
#: Commands that print the packages of minifn and Go that a build would compile.
LIST_STALE = f"""
cp -r . $TMPDIR/copy && cd $TMPDIR/copy
go mod edit -require={TYPES}@v4.0.8 -replace={TYPES}=/runtime/types
go mod edit -require=0.minifn@v0.0.0 -replace=0.minifn=/runtime/minifn
export GOCACHE=/shared/cache GODEBUG=goindex=0
stale='{{{{if .Stale}}}}stale: {{{{.ImportPath}}}}{{{{end}}}}'
go list -mod=mod -trimpath -deps -f "$stale" 0.minifn/worker
echo listed
"""
STARTER = RuntimeTable.load().starters()["go"][1]


async def starter(site: Site, runtime: str, commands: str = "") -> Deployment:
    """Build the starter."""
    settings = FunctionSettings(
        name="starter", runtime=runtime, entrypoint="main.go", commands=commands
    )
    await site.server.functions.create("starter", settings)
    return await deployed(site.server, "starter", pack(STARTER))


@pytest.mark.parametrize("site", [FAMILY], indirect=True)
def test_a_build_compiles_the_function_alone(site: Site, runtime_table: RuntimeTable) -> None:
    if site.server.engine.name != "bwrap":
        pytest.skip("only in its sandboxes the commands know the paths")
    deployment = site.run(starter(site, newest(runtime_table, "go"), LIST_STALE))
    assert deployment.status == "ready", deployment.build_logs
    assert "listed\n" in deployment.build_logs
    assert "stale: " not in deployment.build_logs


@pytest.mark.slow
def test_a_build_without_walls_leaves_the_shared_files_whole(
    tmp_path: Path, runtime_table: RuntimeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIFN_SANDBOX", "none")
    runtime = newest(runtime_table, "go")
    with opened(FAMILY, runtime, tmp_path / "data") as site:
        deployment = site.run(starter(site, runtime))
        assert deployment.status == "ready", deployment.build_logs
        # The second one finds what the first has made.
        deployment = site.run(deployed(site.server, "starter", pack(STARTER)))
        assert deployment.status == "ready", deployment.build_logs
        shared = site.server.data.toolchain(runtime_table.resolve(runtime).cache_name)
        assert site.run(asyncio.to_thread(is_whole, shared))
