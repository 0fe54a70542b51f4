"""Rebuilds, activation, cancellation, deletion and downloads of deployments, without builds."""

import asyncio
import os
import tarfile

import pytest

from minifn.errors import (
    BuildAlreadyCompleted,
    BuildNotReady,
    DeploymentNotFound,
    FunctionNotFound,
)
from minifn.services.deployments import CANCELED
from minifn.store import build_queue, deployments
from minifn.store.build_queue import BuildResult
from tests.services.uploading import SMALL, World, in_world


@in_world
async def test_a_rebuild_is_a_new_deployment_with_the_functions_current_settings(
    world: World,
) -> None:
    original = await world.upload(activate=False, entrypoint="old.py", commands="old")
    await world.finish(original.id)
    await world.configure(entrypoint="new.py", commands="new")
    copy = await world.service.rebuild("fn", original.id)
    assert copy.id != original.id
    assert (copy.entrypoint, copy.commands, copy.activate) == ("new.py", "new", False)
    assert (copy.status, copy.build_size_bytes, copy.build_logs, copy.build_duration_seconds) == (
        "waiting",
        0,
        "",
        0,
    )
    assert copy.created_at >= original.created_at
    await world.service.delete("fn", original.id)
    assert world.data.source(copy.id).read_bytes() == SMALL
    world.data.source(copy.id).unlink()
    with pytest.raises(DeploymentNotFound):
        await world.service.rebuild("fn", copy.id)


@in_world
async def test_activation_needs_a_ready_deployment_of_the_function(world: World) -> None:
    first, second = await world.upload(), await world.upload()
    with pytest.raises(BuildNotReady):
        await world.service.activate("fn", first.id)
    with pytest.raises(FunctionNotFound):
        await world.service.activate("gone", first.id)
    with pytest.raises(DeploymentNotFound):
        await world.service.activate("fn", "gone")
    await world.finish(first.id)
    await world.finish(second.id)
    function = await world.service.activate("fn", first.id)
    assert function.deployment_id == first.id
    assert ("prewarm", first.id) in world.calls


@in_world
async def test_a_canceled_build_stays_canceled(world: World) -> None:
    deployment = await world.upload()
    await world.database.write(build_queue.claim, 1)
    canceled = await world.service.cancel("fn", deployment.id)
    assert canceled.status == "canceled"
    assert CANCELED in canceled.build_logs
    assert ("interrupt", deployment.id) in world.calls
    late = BuildResult(status="ready", duration_seconds=1)
    assert await world.database.write(build_queue.finish, deployment.id, late, 5) is None
    assert (await world.service.cancel("fn", deployment.id)).status == "canceled"
    ready = await world.upload()
    await world.finish(ready.id)
    with pytest.raises(BuildAlreadyCompleted):
        await world.service.cancel("fn", ready.id)


@in_world
async def test_deleting_removes_every_file(world: World) -> None:
    deployment = await world.upload()
    await world.finish(deployment.id)
    await world.service.output("fn", deployment.id)
    assert (await world.function()).deployment_id == deployment.id
    await world.service.delete("fn", deployment.id)
    assert (await world.function()).deployment_id == ""
    assert world.calls[-2:] == [("interrupt", deployment.id), ("retire", deployment.id)]
    assert list(world.data.deployments.iterdir()) == []
    assert set(world.data.builds.iterdir()) == {world.data.caches, world.data.toolchains}
    with pytest.raises(DeploymentNotFound):
        await world.service.delete("fn", deployment.id)


@in_world
async def test_the_output_is_packed_once(world: World) -> None:
    deployment = await world.upload()
    with pytest.raises(DeploymentNotFound):
        await world.service.output("fn", deployment.id)
    await world.finish(deployment.id)
    first, second = await asyncio.gather(
        *(world.service.output("fn", deployment.id) for _ in range(2))
    )
    assert first == second
    with tarfile.open(first) as archive:
        assert archive.getnames() == ["main.py"]


@in_world
async def test_builds_of_another_user_are_made_again(world: World) -> None:
    """A data directory may be copied without owners, or was used with another engine."""
    kept = await world.upload()
    await world.finish(kept.id)
    built = world.data.build(kept.id)
    (built / "linked.py").symlink_to("main.py")
    code = built / "main.py"
    for mode, uid, status in (
        (0o600, 0, "ready"),
        (0o600, os.getuid(), "ready"),
        (0o640, os.getgid(), "ready"),
        (0o604, 54_321, "ready"),
        (0o640, 54_321, "waiting"),
    ):
        code.touch()
        code.chmod(mode)
        world.data.cache("fn").mkdir(exist_ok=True)
        await world.service.tidy(lambda _, uid=uid: uid)  # type: ignore[misc]
        found = await world.database.read(deployments.get, "fn", kept.id)
        assert found is not None
        assert found.status == status, oct(mode)
        assert world.data.cache("fn").exists() == (status == "ready")


@in_world
async def test_forgetting_and_tidying_leave_only_known_files(world: World) -> None:
    kept, dropped, canceled = await world.upload(), await world.upload(), await world.upload()
    await world.database.write(build_queue.cancel, "fn", canceled.id, 1)
    world.data.build(canceled.id).mkdir()
    for deployment in (kept, dropped):
        await world.finish(deployment.id)
        world.data.upload(f"stranger-{deployment.id}").write_bytes(b"left by a crash")
    world.data.cache("fn").mkdir()
    await world.database.write(deployments.delete, "fn", dropped.id, 1)
    locked = world.data.build(dropped.id) / "locked"
    locked.mkdir(mode=0o000)
    await world.service.tidy()
    assert set(world.data.deployments.iterdir()) == {
        world.data.source(kept.id),
        world.data.source(canceled.id),
    }
    assert set(world.data.builds.iterdir()) == {
        world.data.build(kept.id),
        world.data.caches,
        world.data.toolchains,
    }
    await world.service.forget("fn", [kept.id, canceled.id])
    assert list(world.data.deployments.iterdir()) == []
    assert list(world.data.caches.iterdir()) == []
