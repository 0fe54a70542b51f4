"""Records of what a server acknowledged, and a witness of what its functions did."""

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
    """Everything that a server acknowledged.

    A record whose deletion was asked for is nowhere here until the deletion is acknowledged.
    """

    #: Execution id -> status, without executions whose deletion was asked for.
    executions: dict[str, str] = field(default_factory=dict)
    #: Executions of `executions` that were answered with their result.
    answered: set[str] = field(default_factory=set)
    executions_deleted: set[str] = field(default_factory=set)
    #: Executions that are due in an hour.
    scheduled: set[str] = field(default_factory=set)
    #: Execution id -> due time in seconds since the epoch, a minute or two ahead.
    due: dict[str, float] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)
    #: Deployment id -> (function, SHA-256 of its archive), without deployments whose deletion was
    #: asked for.
    archives: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Finished uploads of CHURNED, ids of first chunks, and deleted deployments.
    churned: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    #: Candidates for CHURNED's active deployment: one, and more after an unanswered activation.
    #: Empty means the first deployment.
    active: set[str] = field(default_factory=set)
    #: Copies of CONFIGURED's deployment, cancellations that were asked for, and those acknowledged.
    copies: set[str] = field(default_factory=set)
    cancels: set[str] = field(default_factory=set)
    canceled: set[str] = field(default_factory=set)
    #: Commits that `git push` brought to PUSHED.
    pushed: set[str] = field(default_factory=set)
    #: Variable id -> value.
    variables: dict[str, str] = field(default_factory=dict)
    variables_deleted: set[str] = field(default_factory=set)
    #: Settings that only grow: name -> the last number set, and the last one tried.
    set_to: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    #: Rule id -> domain.
    rules: dict[str, str] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    functions_deleted: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    keys_deleted: set[str] = field(default_factory=set)
    #: Number of executions caused by events.
    caused: int = 0
    #: Times in which the server certainly ran, (from, to) in seconds since the epoch.
    up: list[tuple[float, float]] = field(default_factory=list)
    #: The records when the last successful backup began.
    backed_up: "Acknowledged | None" = None
    #: The repository that pushes.
    repository: Repository | None = None

    def copy(self) -> Self:
        """Return a copy while other threads add to the original."""
        # Copying one dict or set is atomic under the GIL.
        values = {
            item.name: copy.copy(getattr(self, item.name)) for item in dataclasses.fields(self)
        }
        return type(self)(**{**values, "backed_up": None})

    @contextmanager
    def setting(self, name: str) -> Iterator[int]:
        """Record that a setting is tried, and that it is set unless the block raises."""
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
    """Counts the starts of executions of `pause`, to notice one that runs twice.

    A context manager.
    """

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Testimony)
        self.lock = threading.Lock()
        #: Execution id -> number of starts.
        self.runs: Counter[str] = Counter()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return int(self.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
