"""`Minifn.deploy`: settings, variables, upload and build of a function in one call."""

import asyncio
import filecmp
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from minifn.archive.packing import NothingToPack, pack_folder
from minifn.change_feed import Change, LogPiece
from minifn.embed import settings
from minifn.embed.news import followed
from minifn.embed.records import BuildFailed, DeployedFunction
from minifn.errors import ArgumentInvalid, DeploymentNotFound, FunctionNotFound, NotRunning
from minifn.ids import new_id
from minifn.models import UNFINISHED_BUILD, Deployment, Function
from minifn.parts import Parts
from minifn.services.uploads import Upload, UploadedFile
from minifn.store import deployments


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a deployment."""

    function_id: str
    folder: Path
    #: Settings by their names in `FunctionOptions`.
    options: Mapping[str, Any]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    ignore: tuple[str, ...]
    activate: bool
    #: Whether code that has not changed is built again.
    rebuild: bool


async def deploy(
    parts: Parts, order: Order, on_log: Callable[[str], None] | None = None
) -> DeployedFunction:
    """Carry out an order; `on_log` gets the build log in pieces, as it grows."""
    if not order.folder.is_dir():
        raise ArgumentInvalid(f"{order.folder} is not a folder")
    function, was_live = await _put(parts, order)
    await parts.variables.set(function.id, order.variables)
    await parts.variables.set(function.id, order.secrets, secret=True)
    function = await parts.functions.get(function.id)
    archive = parts.data.upload(new_id())
    try:
        size = await asyncio.to_thread(_pack, order.folder, archive, order.ignore)
        code = UploadedFile(path=archive, size_bytes=size, filename="code.tar.gz")
        is_live = was_live and function.live and order.activate and not order.rebuild
        deployment = await _same(parts, function, archive) if is_live else None
        if deployment is None:
            upload = Upload(function_id=function.id, code=code, activate=order.activate)
            with followed(parts) as news:
                uploaded = await parts.uploads.take(upload)
                deployment = await _built(news, uploaded, on_log)
    finally:
        archive.unlink(missing_ok=True)
    if deployment.status != "ready":
        raise BuildFailed(deployment)
    return DeployedFunction(
        function=await parts.functions.get(function.id),
        deployment=deployment,
        url=parts.endpoint.url_of(f"{function.id}.{parts.config.functions_domain}") + "/",
    )


async def _same(parts: Parts, function: Function, archive: Path) -> Deployment | None:
    """Return the active deployment if it was built of the same archive and can run."""
    active = await parts.database.read(deployments.get, function.id, function.deployment_id)
    if active is None or active.status != "ready":
        return None
    source = parts.data.source(active.id)
    try:
        same = await asyncio.to_thread(filecmp.cmp, source, archive, shallow=False)
    except FileNotFoundError:
        return None
    return active if same else None


async def _put(parts: Parts, order: Order) -> tuple[Function, bool]:
    """Create the function, or change its settings.

    Return it, and whether its active deployment was built with the settings before.
    """
    settings.check_variables(parts, order.function_id, {**order.variables, **order.secrets})
    try:
        stored = await parts.functions.get(order.function_id)
    except FunctionNotFound:
        stored = None
    # Finding the runtimes may start their programs.
    if stored is None:
        new = await asyncio.to_thread(
            settings.new_settings, parts, order.function_id, order.folder, order.options
        )
        function = await parts.functions.create(order.function_id, new)
    else:
        changed = await asyncio.to_thread(
            settings.changed_settings, parts, stored, order.folder, order.options
        )
        function = await parts.functions.update(stored.id, changed)
    if function.provider_repository_id or (stored and stored.provider_repository_id):
        await parts.git.follow(function, stored)
    return function, stored is not None and stored.live and function.live


def _pack(folder: Path, archive: Path, ignore: Iterable[str]) -> int:
    try:
        with archive.open("xb") as file:
            pack_folder(folder, file, ignore)
    except NothingToPack as exc:
        raise ArgumentInvalid(str(exc)) from exc
    return archive.stat().st_size


async def _built(
    news: "asyncio.Queue[object]", uploaded: Deployment, on_log: Callable[[str], None] | None
) -> Deployment:
    """Return the deployment when its build has ended.

    Raises DeploymentNotFound when it was deleted, and NotRunning when the server stops.
    """
    while (item := await news.get()) is not None:
        if isinstance(item, LogPiece) and item.deployment_id == uploaded.id and on_log:
            on_log(item.text)
        if not isinstance(item, Change):
            continue
        if item.action == "delete" and item.record.id in (uploaded.id, uploaded.function_id):
            raise DeploymentNotFound
        record = item.record
        if not isinstance(record, Deployment) or record.id != uploaded.id:
            continue
        if record.status not in UNFINISHED_BUILD:
            return record
    raise NotRunning
