"""Everything that a server asks of Ray: to join a cluster, its nodes, and an actor on each.

No other module of minifn imports Ray.
"""

import asyncio
import atexit
import contextlib
import importlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from minifn.cluster.node import Node

ray: Any
try:
    ray = importlib.import_module("ray")
except ImportError:
    ray = None

#: Most calls of one actor at once: batches, pieces of builds and a poll.
ACTOR_CALLS = 1000
#: Seconds that the head of a cluster may take to accept a connection.
HEAD_SECONDS = 5.0
#: Bytes of one argument that Ray sends with the call; larger ones go through its object store,
#: which may write them to a disk.
INLINE_BYTES = 64 * 1024


Result = TypeVar("Result")


class ClusterUnavailable(ConnectionError):
    """The server cannot join the cluster; the message is one line."""


class NodeLost(Exception):
    """A node does not answer any more, or refused a call; the message says why."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A living node, as Ray lists it."""

    id: str
    address: str
    host: str
    #: Resource -> amount; `CPU`, `memory` in bytes, and custom ones.
    resources: dict[str, float]


def join(address: str, *, allow_public: bool) -> None:
    """Join a cluster; blocks. Raises ClusterUnavailable."""
    if ray is None:
        raise ClusterUnavailable("Ray is not installed: pip install 'minifn[ray]'")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints the last lines of other machines' logs when a node dies; `member` says it in one.
    private: Any = importlib.import_module("ray._private.worker")
    if hasattr(private, "print_to_stdstream"):
        private.print_to_stdstream = lambda *_, **__: None
    hint = "`ray start --head` starts one"
    try:
        _find_head(address)
        hint = "Ray must run on this machine too: `ray start --address HEAD` starts it"
        ray.init(
            address=address,
            namespace="minifn",
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as exc:
        reason = " ".join(str(exc).split()).rstrip(".")
        raise ClusterUnavailable(f"no cluster was joined at {address!r}: {reason}. {hint}") from exc
    head = str(ray.get_runtime_context().gcs_address)
    if is_public(head) and not allow_public:
        leave()
        raise ClusterUnavailable(
            f"the head of the cluster listens on the public address {head}, and anyone who reaches"
            " Ray's ports controls the cluster: start Ray in a private network, or set"
            " MINIFN_CLUSTER_PUBLIC=true if a firewall closes its ports"
        )


def _find_head(address: str) -> None:
    """Connect to the head of a cluster, and hang up.

    Ray waits a minute for one that does not answer, and holds up the whole process meanwhile.
    Raises OSError, and ValueError for an address of another form.
    """
    if address == "auto":
        services: Any = importlib.import_module("ray._private.services")
        try:
            address = services.canonicalize_bootstrap_address(address)
        except ConnectionError:
            raise ConnectionError("Ray does not run on this machine") from None
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not host or "/" in host:
        raise ValueError("it must be HOST:PORT, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), HEAD_SECONDS).close()
    except OSError as exc:
        raise ConnectionError(f"the head at {address} does not answer ({exc})") from exc


def take_back_signals() -> None:
    """Undo Ray's handlers of signals, which print a trace before the server's own run."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if handler is not None:
                signal.signal(number, handler)


def is_public(address: str) -> bool:
    """Tell whether `host:port` has an IP address of the public Internet."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def leave() -> None:
    """End the connection, and with it the actors of this server; blocks."""
    # It would wait once more at the end of the process for a head that is gone.
    atexit.unregister(ray.shutdown)
    ray.shutdown()


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run what may block for long in a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def tell(finish: Callable[[Any], None], outcome: object) -> None:
        if not done.done():
            finish(outcome)

    def run() -> None:
        # The loop may be closed by the time it ends.
        with contextlib.suppress(RuntimeError):
            try:
                result = work()
            except Exception as exc:
                loop.call_soon_threadsafe(tell, done.set_exception, exc)
            else:
                loop.call_soon_threadsafe(tell, done.set_result, result)

    threading.Thread(target=run, name="ray", daemon=True).start()
    return await done


def own_address() -> str:
    """Return the address of this machine in the cluster."""
    return str(ray.util.get_node_ip_address())


def own_node() -> str:
    """Return the id of this machine's node."""
    return str(ray.get_runtime_context().get_node_id())


def nodes() -> list[Found]:
    """Return the living nodes; blocks. Raises NodeLost when the cluster does not answer."""
    with _errors():
        return [
            Found(
                id=node["NodeID"],
                address=node["NodeManagerAddress"],
                host=node["NodeManagerHostname"],
                resources={name: float(value) for name, value in node["Resources"].items()},
            )
            for node in ray.nodes()
            if node["Alive"]
        ]


class Actor:
    """The actor of a node; its methods are those of `Node`."""

    def __init__(self, node_id: str) -> None:
        """Ray starts the actor again on its node when its process dies; with the node it ends."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        options = {
            "num_cpus": 0,
            "max_restarts": -1,
            "max_task_retries": 0,
            "max_concurrency": ACTOR_CALLS,
            # Not softly: on another node it would be a second one there.
            "scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node_id, soft=False),
        }
        self._handle: Any = ray.remote(Node).options(**options).remote(node_id)

    async def ask(self, method: str, *arguments: object) -> Any:
        """Call a method and return its result. Raises NodeLost."""
        with _errors():
            return await getattr(self._handle, method).remote(*arguments)

    def submit(self, sequence: int, batch: bytes, *, secret: bool) -> None:
        """Send a batch and do not wait; a `secret` one never goes through the object store."""
        pieces = inline(batch) if secret else [batch]
        self._handle.submit.options(num_returns=0).remote(sequence, *pieces)

    def kill(self) -> None:
        """End the actor's process, and with it every function on the node."""
        ray.kill(self._handle)


def inline(data: bytes) -> list[bytes]:
    """Return pieces of secret data, none of which goes through the object store."""
    return [data[start : start + INLINE_BYTES] for start in range(0, len(data), INLINE_BYTES)]


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Raise NodeLost for an error of Ray."""
    try:
        yield
    except Exception as exc:
        if not isinstance(exc, ray.exceptions.RayError):
            raise
        raise NodeLost(headline(exc)) from exc


def headline(error: Exception) -> str:
    """Return what an error of Ray means, in one line."""
    text = str(error)
    if "ModuleNotFoundError" in text and "minifn" in text:
        return "minifn is not installed there, or is another version"
    if isinstance(error, ray.exceptions.RayActorError) and "creation task" not in text:
        return "its process ended or cannot be reached"
    # The last line of a trace names the error.
    return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]
