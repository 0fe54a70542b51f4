"""What a server said it has done, kept by those it said it to; and a witness of what its functions did."""

import copy
import dataclasses
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.git.repositories import Repository


@dataclass
class Acknowledged:
    """What the server said it has done. What was asked to go is nowhere until the server said it is gone."""

    #: Execution id -> status, of those that nobody asked to delete.
    executions: dict[str, str] = field(default_factory=dict)
    #: Of these, what was answered with its result.
    answered: set[str] = field(default_factory=set)
    executions_deleted: set[str] = field(default_factory=set)
    #: Due in an hour.
    scheduled: set[str] = field(default_factory=set)
    #: Execution id -> when it is due, seconds since the epoch; in a minute or two.
    due: dict[str, float] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)
    #: Deployment id -> (function, SHA-256 of its archive), of those that nobody asked to delete.
    archives: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Of CHURNED: finished uploads, ids of first chunks, and what was deleted.
    churned: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    #: What may be CHURNED's active deployment: one, but for an activation that was not answered. Empty: the first.
    active: set[str] = field(default_factory=set)
    #: Of CONFIGURED: copies of its deployment, those that were asked to be canceled, and those that are.
    copies: set[str] = field(default_factory=set)
    cancels: set[str] = field(default_factory=set)
    canceled: set[str] = field(default_factory=set)
    #: Commits that `git push` has brought to PUSHED.
    pushed: set[str] = field(default_factory=set)
    #: Variable id -> value.
    variables: dict[str, str] = field(default_factory=dict)
    variables_deleted: set[str] = field(default_factory=set)
    #: What is set to ever larger numbers: name -> the last number set, and the last one tried.
    set_to: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    #: Rule id -> domain.
    rules: dict[str, str] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    functions_deleted: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    keys_deleted: set[str] = field(default_factory=set)
    #: How many executions events have caused.
    caused: int = 0
    #: When the server was up for sure, (from, to) in seconds since the epoch.
    up: list[tuple[float, float]] = field(default_factory=list)
    #: What was acknowledged when the last backup was begun that succeeded.
    backed_up: "Acknowledged | None" = None
    #: Where pushes come from.
    repository: Repository | None = None

    def copy(self) -> Self:
        """As it is now, while others go on adding to it."""
        # A copy of one dict or set is one step of the interpreter.
        values = {
            item.name: copy.copy(getattr(self, item.name)) for item in dataclasses.fields(self)
        }
        return type(self)(**{**values, "backed_up": None})

    @contextmanager
    def setting(self, name: str) -> Iterator[int]:
        """Inside, `name` is being set to the number; afterwards it is, unless an exception says otherwise."""
        number = self.tried.get(name, 0) + 1
        self.tried[name] = number
        yield number
        self.set_to[name] = number


class _Testimony(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Witness)
        execution_id = self.rfile.readline().decode().strip()
        with server.lock:
            server.runs[execution_id] += 1
        self.wfile.write(b"\n")


class Witness(socketserver.ThreadingTCPServer):
    """Is told by executions of `pause` that they have begun, so that none runs twice unseen. A context manager."""

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Testimony)
        self.lock = threading.Lock()
        #: Execution id -> how often it has begun.
        self.runs: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
