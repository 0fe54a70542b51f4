"""What a worker of a function is started with: command, environment, places and limits."""

import shutil
from collections.abc import Mapping

from minifn.config import NETWORKS, Config
from minifn.endpoint import ApiEndpoint
from minifn.host.datadir import DataDir
from minifn.languages import Place, RuntimeTable
from minifn.models import Deployment, Target, specification
from minifn.process_env import CODE, WRAPPER, can_be_set, function_uid, system_variables
from minifn.sandbox.command import Bind, Command, Limits, Network
from minifn.sandbox.engines import Engine
from minifn.workers.records import WorkerSpec

#: The variable by which a function gives up network.
NETWORK_VARIABLE = "MINIFN_NETWORK"
#: The variable by which a function asks for a smaller /tmp, MB.
TMP_VARIABLE = "MINIFN_TMP"
#: Share of the disk that one /tmp may take, as a divisor.
TMP_DISK_SHARE = 8
#: The variable by which a function says how many requests one worker runs at once.
CONCURRENCY_VARIABLE = "MINIFN_CONCURRENCY"
#: Requests that one worker is given at once where the function does not say, and at most.
CONCURRENCY, CONCURRENCY_MAX = 64, 200
#: Processes and threads of one worker, and files it may have open.
WORKER_PROCESSES = 256
WORKER_FILES = 1024
#: Behind the server, so that it goes on answering, and before builds.
WORKER_NICE = 5
#: When memory runs out the kernel ends builds first, then workers, and last the server.
WORKER_OOM_SCORE_ADJ = 700
_MIB = 1024 * 1024


def network_of(ceiling: str, variables: Mapping[str, str]) -> Network:
    """Return what a function reaches: what its variable MINIFN_NETWORK says, at most the server's `ceiling`.

    A word that is none of NETWORKS counts as the least.
    """
    wanted = variables.get(NETWORK_VARIABLE, ceiling)
    return Network(min(wanted if wanted in NETWORKS else NETWORKS[0], ceiling, key=NETWORKS.index))


def tmp_mb(ceiling: int, variables: Mapping[str, str]) -> int:
    """Return what a function's /tmp holds, MB: what its variable MINIFN_TMP says, at most the server's `ceiling`."""
    return min(_number(variables.get(TMP_VARIABLE, "")) or ceiling, ceiling)


def concurrency_of(variables: Mapping[str, str]) -> int:
    """Return how many requests a worker is given at once: what the function's variable MINIFN_CONCURRENCY says."""
    return min(_number(variables.get(CONCURRENCY_VARIABLE, "")) or CONCURRENCY, CONCURRENCY_MAX)


def _number(text: str) -> int:
    """Return a positive number, 0 for a text that is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class WorkerSpecs:
    """Turns a function with its active deployment into what the pool starts workers from."""

    def __init__(
        self,
        config: Config,
        data: DataDir,
        engine: Engine,
        runtimes: RuntimeTable,
        endpoint: ApiEndpoint,
    ) -> None:
        self._config = config
        self._data = data
        self._engine = engine
        self._runtimes = runtimes
        #: What /tmp of a function holds at most, MB: less than the server's setting on a small disk.
        disk_mb = shutil.disk_usage(data.root).total // _MIB
        self._tmp_mb = max(1, min(config.tmp, disk_mb // TMP_DISK_SHARE))
        self.endpoint = endpoint
        #: Deployment -> the target and the URL of the API that its worker was described for.
        self._specs: dict[str, tuple[Target, str, WorkerSpec]] = {}

    def worker(self, target: Target) -> WorkerSpec:
        """Return how to start a worker of `target`, which has a deployment. Raises RuntimeUnavailable."""
        assert target.deployment is not None
        key = target.deployment.id
        known = self._specs.get(key)
        url = self.endpoint.url
        if known is None or known[0] is not target or known[1] != url:
            spec = self._describe(target, target.deployment)
            # Warm workers go on serving after a change that does not concern them.
            known = self._specs[key] = (
                target,
                url,
                known[2] if known is not None and known[2] == spec else spec,
            )
        return known[2]

    def forget(self, deployment_id: str) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._specs.pop(deployment_id, None)

    def _describe(self, target: Target, deployment: Deployment) -> WorkerSpec:
        function = target.function
        installed = self._runtimes.resolve(function.runtime)
        size = specification(function.runtime_specification)
        memory_bytes = size.memory_mb * _MIB
        code = Bind(source=self._data.build(deployment.id), target=CODE)
        wrapper = Bind(source=installed.wrapper, target=WRAPPER)
        place = Place(code=self._engine.place(code), wrapper=self._engine.place(wrapper))
        start = installed.start(place)
        system = system_variables(
            function,
            deployment,
            project=self._config.project,
            endpoint=self.endpoint.url,
            runtime=(installed.runtime.name, installed.runtime.version),
            slug=size.slug,
        )
        own = {name: value for name, value in target.variables.items() if can_be_set(name, value)}
        command = Command(
            argv=start.argv,
            env={
                **start.defaults,
                **own,
                **installed.options(size.memory_mb, own),
                **system,
                **start.env,
            },
            cwd=place.code,
            binds=(
                code,
                wrapper,
                *(Bind(source=path, target=str(path)) for path in installed.interpreter.binds),
            ),
            limits=Limits(
                memory_bytes=memory_bytes,
                tmp_bytes=tmp_mb(self._tmp_mb, target.variables) * _MIB,
                processes=WORKER_PROCESSES,
                open_files=WORKER_FILES,
                cpus=size.cpus,
                nice=WORKER_NICE,
                oom_score_adj=WORKER_OOM_SCORE_ADJ,
            ),
            network=network_of(self._config.network, target.variables),
            uid=function_uid(function),
            label=f"{function.id} {deployment.id}",
        )
        concurrency = concurrency_of(target.variables)
        return WorkerSpec(
            key=deployment.id, group=function.id, command=command, concurrency=concurrency
        )
