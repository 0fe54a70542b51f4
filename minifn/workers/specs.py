"""Specs of workers: the command, environment, paths and limits of a function's processes."""

import dataclasses
import functools
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from minifn.config import NETWORKS, Config
from minifn.endpoint import ApiEndpoint
from minifn.hooks import nothing_async
from minifn.host.datadir import DataDir
from minifn.languages import Installed, Place, RuntimeTable, RuntimeUnavailable
from minifn.models import Deployment, Specification, Target, specification
from minifn.process_env import CODE, can_be_set, function_uid, system_variables
from minifn.sandbox.command import Bind, Command, Limits, Network
from minifn.sandbox.engines import Engine
from minifn.workers.records import WorkerSpec, always
from minifn.workers.runtime_folders import folders, places, shown

#: Variable by which a function gives up network.
NETWORK_VARIABLE = "MINIFN_NETWORK"
#: Variable by which a function gets a smaller /tmp, MB.
TMP_VARIABLE = "MINIFN_TMP"
#: Divisor of the disk's size that gives the largest /tmp.
TMP_DISK_SHARE = 8
#: Variable by which a function sets how many requests one worker runs at once.
CONCURRENCY_VARIABLE = "MINIFN_CONCURRENCY"
#: Requests that one worker runs at once: the default and the maximum.
CONCURRENCY, CONCURRENCY_MAX = 64, 200
#: Processes and threads of one worker, and files it may have open.
WORKER_PROCESSES = 256
WORKER_FILES = 1024
#: Niceness of workers: after the server, which must go on answering, and before builds.
WORKER_NICE = 5
#: OOM score of workers: the kernel kills builds first, then workers, and the server last.
WORKER_OOM_SCORE_ADJ = 700
_MIB = 1024 * 1024


def network_of(ceiling: str, variables: Mapping[str, str]) -> Network:
    """Return a function's network: its variable MINIFN_NETWORK, limited by the server's `ceiling`.

    A word outside NETWORKS counts as the smallest network.
    """
    wanted = variables.get(NETWORK_VARIABLE, ceiling)
    return Network(min(wanted if wanted in NETWORKS else NETWORKS[0], ceiling, key=NETWORKS.index))


def tmp_mb(ceiling: int, variables: Mapping[str, str]) -> int:
    """Return the MB of a function's /tmp: its MINIFN_TMP, limited by the server's `ceiling`."""
    return min(_number(variables.get(TMP_VARIABLE, "")) or ceiling, ceiling)


def concurrency_of(variables: Mapping[str, str]) -> int:
    """Return how many requests a worker runs at once: the function's MINIFN_CONCURRENCY."""
    return min(_number(variables.get(CONCURRENCY_VARIABLE, "")) or CONCURRENCY, CONCURRENCY_MAX)


def _number(text: str) -> int:
    """Return a positive number, 0 for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


@dataclass(kw_only=True, slots=True)
class LiveCode:
    """A folder that runs in place of a deployment's build, while it is developed."""

    #: Returns what a sandbox shows of it; () shows the build as usual.
    binds: Callable[[], tuple[Bind, ...]]
    #: Whether the folder has the code of the version that answers.
    is_current: bool = True
    #: Counts the versions of the code that have answered.
    version: int = 0


class WorkerSpecs:
    """Makes the spec of a function's workers from the function and its active deployment."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        engine: Engine,
        runtimes: RuntimeTable,
        endpoint: ApiEndpoint,
        share: Callable[[Installed], Awaitable[None]],
    ) -> None:
        """`share` makes the files of a toolchain's cache, unless they exist."""
        self._config = config
        self._data = data
        self._engine = engine
        self._runtimes = runtimes
        #: Largest /tmp of a function, MB: below the server's setting on a small disk.
        disk_mb = shutil.disk_usage(data.root).total // _MIB
        self._tmp_mb = max(1, min(config.tmp, disk_mb // TMP_DISK_SHARE))
        self.endpoint = endpoint
        self._share = share
        #: Deployment -> the folder that runs in place of its build.
        self.live: dict[str, LiveCode] = {}
        #: Deployment -> the target that its worker was described for, with the URL of the API and
        #: the number of changes of the runtimes at that time.
        self._specs: dict[str, tuple[Target, tuple[str, int], WorkerSpec]] = {}

    def of(self, target: Target) -> WorkerSpec:
        """Return the spec of a target's workers; the target has a deployment.

        Raises RuntimeUnavailable.
        """
        assert target.deployment is not None
        key = target.deployment.id
        known = self._specs.get(key)
        world = (self.endpoint.url, self._runtimes.changes)
        if known is None or known[0] is not target or known[1] != world:
            live = self.live.get(key)
            spec = self._describe(target, target.deployment, live.version if live else 0)
            # An equal spec stays the same object, so warm workers survive a change without effect.
            if known is not None and known[2] == spec:
                spec = known[2]
            known = self._specs[key] = (target, world, spec)
        return known[2]

    def forget(self, deployment_id: str) -> str:
        """Forget a deleted deployment, and return the key of its workers."""
        _, _, spec = self._specs.pop(deployment_id, (None, None, None))
        self.live.pop(deployment_id, None)
        return spec.key if spec is not None else deployment_id

    def renewed(self, target: Target, on_load: Callable[[str], None]) -> WorkerSpec:
        """Return the spec of workers with the present code of a folder, for `renew`.

        Raises RuntimeUnavailable.
        """
        assert target.deployment is not None
        version = self.live[target.deployment.id].version + 1
        spec = self._describe(target, target.deployment, version)
        return dataclasses.replace(spec, on_load=on_load)

    def renew(self, target: Target, spec: WorkerSpec) -> None:
        """Have `of` return the spec that `renewed` made: its workers answer from now on."""
        assert target.deployment is not None
        self.live[target.deployment.id].version += 1
        world = (self.endpoint.url, self._runtimes.changes)
        self._specs[target.deployment.id] = (target, world, spec)

    def _describe(self, target: Target, deployment: Deployment, version: int) -> WorkerSpec:
        live = self.live.get(deployment.id)
        try:
            installed = self._runtimes.resolve(target.function.runtime)
        except RuntimeUnavailable:
            if not self._config.cluster:
                raise
            return self._elsewhere(target, deployment)
        return WorkerSpec(
            key=f"{deployment.id}~{version}" if version else deployment.id,
            group=target.function.id,
            command=self._command(target, deployment, installed),
            concurrency=concurrency_of(target.variables),
            target=target,
            # A folder that is developed may change before the template forks.
            forks=installed.family.forks and live is None,
            waits=installed.family.waits and live is None,
            prepare=(
                functools.partial(self._share, installed)
                if installed.workers_share
                else nothing_async
            ),
            is_current=(lambda: live.is_current) if live else always,
        )

    def _command(self, target: Target, deployment: Deployment, installed: Installed) -> Command:
        """Return the command that starts a worker on this machine."""
        function = target.function
        live = self.live.get(deployment.id)
        size = specification(function.runtime_specification)
        code = Bind(source=self._data.build(deployment.id), target=CODE)
        binds = {"code": code, **folders(installed, self._data)}
        if not installed.workers_share:
            binds.pop("shared", None)
        place = Place(**places(self._engine, binds), tmp=self._engine.tmp)
        code_binds = (live.binds() if live else ()) or (binds.pop("code"),)
        binds.pop("code", None)
        system = system_variables(
            function,
            deployment,
            project=self._config.project,
            endpoint=self.endpoint.url,
            runtime=(installed.runtime.name, installed.runtime.version),
            slug=size.slug,
        )
        start = installed.start(place, entrypoint=deployment.entrypoint, memory_mb=size.memory_mb)
        own = {name: value for name, value in target.variables.items() if can_be_set(name, value)}
        options = installed.options(size.memory_mb, own)
        return Command(
            argv=start.argv,
            env={**start.defaults, **own, **options, **system, **start.env},
            cwd=place.code,
            binds=(*code_binds, *binds.values(), *shown(installed)),
            limits=self._limits(size, target, installed),
            network=network_of(self._config.network, target.variables),
            uid=function_uid(function),
            label=f"{function.id} {deployment.id}",
        )

    def _elsewhere(self, target: Target, deployment: Deployment) -> WorkerSpec:
        """Return the spec for nodes of a runtime that this machine lacks.

        Nodes describe the workers themselves; its command only tells changes of the target.
        """
        size = specification(target.function.runtime_specification)
        return WorkerSpec(
            key=deployment.id,
            group=target.function.id,
            command=Command(
                argv=(deployment.entrypoint, target.function.runtime, size.slug),
                env=dict(target.variables),
            ),
            concurrency=concurrency_of(target.variables),
            target=target,
        )

    def _limits(self, size: Specification, target: Target, installed: Installed) -> Limits:
        return Limits(
            memory_bytes=size.memory_mb * _MIB,
            reserved_bytes=installed.memory_allowance_mb * _MIB,
            tmp_bytes=tmp_mb(self._tmp_mb, target.variables) * _MIB,
            processes=WORKER_PROCESSES + installed.family.threads_allowance,
            open_files=WORKER_FILES,
            cpus=size.cpus,
            nice=WORKER_NICE,
            oom_score_adj=WORKER_OOM_SCORE_ADJ,
        )
