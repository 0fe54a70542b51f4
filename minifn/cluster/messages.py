"""The messages between a server and the nodes of its cluster: pure encoding and decoding.

Both sides send batches, so that calls of the same moment share one call of Ray. A call that comes
to a node with its request runs at once if a worker is free; otherwise the node says `parked`, and
from then on it is an offer. An offer may be at several nodes: the one whose worker is free first
asks, and the server grants it to that node alone. So a call that waits can move to another node,
and none runs twice. A server sends no more requests, nor grants, than a node's workers take: a
node that dies cannot say which of them had reached a function.
"""

import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

from minifn import __version__
from minifn.builder.order import Built
from minifn.change_feed import ChangeFeed
from minifn.models import Execution, Target
from minifn.workers.records import FunctionRequest, FunctionResponse

#: Version of these messages.
PROTOCOL = 4


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The software of a server or node; those of one cluster are equal."""

    minifn: str
    python: str
    protocol: int = PROTOCOL

    def __str__(self) -> str:
        return f"minifn {self.minifn}, Python {self.python}, protocol {self.protocol}"


def own_identity() -> Identity:
    """Return the identity of this process."""
    return Identity(minifn=__version__, python=".".join(map(str, sys.version_info[:2])))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a node takes from its server; no secret is among them."""

    #: Tells the servers of one cluster apart.
    server: str
    project: str
    #: URL of the API that functions are told.
    endpoint: str
    sandbox: str
    network: str
    idle_seconds: int
    function_workers: int
    template_memory: int
    tmp: int
    build_limit: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a node, told once it is ready."""

    engine: str
    strength: str
    #: Runtime -> exact version of its interpreter.
    runtimes: dict[str, str]
    #: Runtime -> identity of the builds made here (`minifn.builder.order.identity_of`).
    identities: dict[str, str]
    #: The protections of functions: name, state, reason and remedy.
    protections: tuple[tuple[str, str, str, str], ...] = ()
    #: Functions that have a build cache here.
    caches: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a function; the fields are those of `FunctionRequest`."""

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    timeout_seconds: float
    logging: bool

    @classmethod
    def of(cls, request: FunctionRequest) -> "Request":
        """Return the request as it travels."""
        return cls(**{name: getattr(request, name) for name in cls.__struct_fields__})

    def unpacked(self, number: int, changes: ChangeFeed) -> FunctionRequest:
        """Return the request of call `number` as the pool takes it; `changes` hears its logs."""
        execution = Execution(id=str(number), function_id="")
        return FunctionRequest(**msgspec.structs.asdict(self), execution=execution, changes=changes)


# Server to node.


class Known(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The function, deployment and variables that later messages mean by a number."""

    number: int
    target: Target


class Call(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A call of the target `number`, with as many seconds left."""

    id: int
    number: int
    seconds: float
    #: None for an offer.
    request: Request | None = None
    #: Whether it waits however many wait already.
    queue_unbounded: bool = False


class Grant(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The node may run a call that it asked for; the request is that of an offer."""

    id: int
    request: Request | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Calls that were sent or granted before take the worker that a call asked for."""

    id: int


class Withdraw(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A call went elsewhere, or its caller has gone; if it runs, the function hears of it."""

    id: int


class Prewarm(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a worker of the target `number` ahead of its first call."""

    number: int


class Drop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A deployment is gone: its workers end, and its build is removed."""

    key: str


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A function is gone: its build cache is removed."""

    function_id: str


class Close(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The addresses of the cluster's machines: isolated networks do not reach them."""

    addresses: tuple[str, ...]


# Node to server.


class Parked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A call waits for a worker; the node does not run it without a grant."""

    id: int
    #: Number of calls that the workers of its deployment take at once.
    slots: int


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A worker is free for a call that waits."""

    id: int
    slots: int


class Logged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Lines of a call that runs."""

    id: int
    stream: Literal["logs", "errors"]
    text: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a call ended."""

    id: int
    slots: int
    response: FunctionResponse


class Missing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A call cannot run here: the node has not, or no longer, the deployment's build."""

    id: int
    key: str


class Removed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The build of a deployment was removed to make room for others."""

    key: str


class BuildLogged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Text of the log of a build that is made here."""

    key: str
    text: str


class BuildMade(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a build that was made here ended."""

    key: str
    #: Why it failed, "" for success.
    problem: str = ""
    #: Why the node could not make it; another one may.
    trouble: str = ""
    built: Built | None = None
    #: Bytes of the packed build, 0 if it was not packed.
    packed_bytes: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The load of a node, told every second."""

    workers: int
    busy: int
    available_bytes: int
    #: Deployment -> calls that its workers take at once, for those that have one.
    slots: dict[str, int]
    #: The addresses at which the machine answers.
    addresses: tuple[str, ...] = ()


ToNode = Known | Call | Grant | Wait | Withdraw | Prewarm | Drop | Forget | Close
#: The messages that the pool takes.
ToPool = Parked | Ask | Logged | Answer | Missing | Removed | Status
ToServer = ToPool | BuildLogged | BuildMade

_encoder = msgspec.msgpack.Encoder()
_to_node = msgspec.msgpack.Decoder(list[ToNode])
_to_server = msgspec.msgpack.Decoder(list[ToServer])


def encode(batch: Sequence[ToNode] | Sequence[ToServer]) -> bytes:
    """Return the bytes of a batch."""
    return _encoder.encode(batch)


def decode_to_node(data: bytes) -> list[ToNode]:
    """Return the messages of a batch from a server. Raises msgspec.ValidationError."""
    return _to_node.decode(data)


def decode_to_server(data: bytes) -> list[ToServer]:
    """Return the messages of a batch from a node. Raises msgspec.ValidationError."""
    return _to_server.decode(data)
