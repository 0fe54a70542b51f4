"""Attacks of a deployed function, with the errors of each, and a server under these attacks.

Each attack is a path of `programs/service/`.
"""

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.serving import Api, Server, pack

PROGRAMS = Path(__file__).parent / "programs" / "service"
ENTRYPOINTS = {"python": "main.py", "node": "main.cjs"}
#: Timeout of functions whose attacks never end by themselves, and of the others, seconds.
SLOW_TIMEOUT, TIMEOUT = 2, 10

TIMED_OUT = r"Execution timed out\.\n"
PROTOCOL = r"The worker broke the protocol: .*"
DIED = r"The function's process (exited with code|was ended by signal) \d+.*"
#: Errors of a flood. On a busy machine the timeout comes first, or Node.js runs out of memory, in
#: which it keeps logs: then it ends by one of several signals, with or without a message.
FLOODED = (
    r"The function's process (wrote faster than"
    r"|was ended: .*memory limit.*[\s\S]*)"
    r"|.* than 64 MB\.\n|" + TIMED_OUT
)
ANSWERED = ""
#: Pattern of the errors after each attack; "" if it answers with the caller's own secret.
ERRORS = {
    "alive": ANSWERED,
    # Time
    "spin": TIMED_OUT,
    "wait": TIMED_OUT,
    "late_reply": TIMED_OUT,
    # A frame of the wrapper itself may fall into the half.
    "half_reply": f"{TIMED_OUT}|{PROTOCOL}",
    "dripping_reply": f"{TIMED_OUT}|{PROTOCOL}",
    "daemon_and_wait": TIMED_OUT,
    # Replies
    "garbage": PROTOCOL + "the limit is",
    "half_reply_and_exit": DIED,
    "foreign_reply": PROTOCOL + "request 1000000, which was never made",
    "early_reply": PROTOCOL + "which was never made",
    "two_replies": ANSWERED,
    "earlier_reply": ANSWERED,
    "nested_reply": PROTOCOL + "recursion",
    "huge_body": r"[\s\S]*the limit is",
    "huge_frame": PROTOCOL + "the limit is",
    "headers": ANSWERED,
    "many_headers": PROTOCOL + "90,000 response headers, the limit is 1,000",
    "status": PROTOCOL + "status code 1000",
    # The control socket and the process
    "close_control": DIED,
    "replace_control": DIED,
    "share_control": DIED,
    "kill_itself": DIED,
    "unnamed_signal": r"The function's process was ended by signal 40\.\n",
    "odd_exit_code": DIED,
    "daemon": ANSWERED,
    "daemon_and_exit": DIED,
    # Logs
    "log_flood": FLOODED,
    "output_flood": FLOODED,
    "errors_flood": FLOODED,
    "endless_line": ANSWERED,
    "binary_logs": ANSWERED,
    # Resources of a process
    "take_port": ANSWERED,
    "files": ANSWERED,
    # Where no other limit holds, the watchdog counts them.
    "threads": r"$|The function's process was ended: process limit exceeded \(256\)",
    "memory": (
        r"$|The function's process was ended: memory limit exceeded \(512 MB\)"
        r"|The function's [\s\S]* memory |RangeError: Array buffer allocation failed"
    ),
}
#: Attacks whose leftovers may end the worker during the next call: the words of its error.
COSTS_NEXT = {"threads": "process limit exceeded"}
SLOW = (
    *("spin", "wait", "late_reply", "half_reply", "dripping_reply", "daemon_and_wait"),
    *("log_flood", "output_flood", "errors_flood"),
)
#: Attacks that are also called by the function's domain: a failure there is a page without errors.
BY_DOMAIN = (
    "alive",
    "garbage",
    "two_replies",
    "nested_reply",
    "huge_body",
    "headers",
    "status",
    "kill_itself",
)
#: Attacks that Node.js cannot make.
PYTHON_ONLY = {"replace_control", "threads"}


@dataclass
class Seen:
    """The outcome of one attack."""

    answer: dict[str, Any]
    #: The answer by the function's domain.
    domain: httpx.Response | None
    #: The next execution of the same function.
    after: dict[str, Any]
    secret: str
    after_secret: str
    #: Mark of the daemons that it started.
    mark: str


@dataclass
class Column:
    """A server under one engine, and a good function that is called while the attacks run."""

    engine: str
    server: Server
    api: Api
    descriptors: int
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    beside_count: int = 0

    def call(self, api: Api, function_id: str, attack: str, secret: str, mark: str) -> Any:
        """Run an attack through the API."""
        return api.execute(function_id, path=f"/{attack}?mark={mark}", body=secret)

    def attack(self, family: str, attack: str) -> None:
        """Run an attack and note its outcome."""
        slow = attack in SLOW
        function_id = f"{family}-{attack.replace('_', '-')}" if slow else family
        mark = f"mark-{secrets.token_hex(8)}"
        own, domain, after = (secrets.token_hex(8) for _ in range(3))
        host = f"{function_id}.functions.localhost:{self.server.port}"
        with (
            self.server.api as api,
            httpx.Client(base_url=self.server.url, trust_env=False, timeout=20) as guest,
        ):
            answer = self.call(api, function_id, attack, own, mark)
            reached = None
            if attack in BY_DOMAIN:
                reached = guest.post(
                    f"/{attack}?mark={mark}", content=domain, headers={"host": host}
                )
                reached.extensions["secret"] = domain
            went_on = self.call(api, function_id, "alive", after, mark)
            for _ in range(4):
                # On a busy machine a start may take longer than the short timeout.
                if slow and went_on["errors"].startswith("Execution timed out."):
                    went_on = self.call(api, function_id, "alive", after, mark)
            self.seen[family, attack] = Seen(answer, reached, went_on, own, after, mark)

    def attack_in_turn(self, family: str, attacks: list[str]) -> None:
        """Run attacks one after the other; an unanswered one has no outcome."""
        for attack in attacks:
            with contextlib.suppress(httpx.TransportError):
                self.attack(family, attack)

    def call_beside(self, over: threading.Event) -> None:
        """Call the good function with secrets and note every wrong answer."""
        with self.server.api as api:
            while not over.wait(0.03):
                secret = secrets.token_hex(8)
                found = api.execute("good", body=secret)
                self.beside_count += 1
                if (found["responseBody"], found["logs"], found["errors"]) != (
                    secret,
                    f"{secret}\n",
                    "",
                ):
                    self.beside.append(str(found))


def deploy(
    api: Api, family: str, function_id: str, code: bytes | None = None, **settings: Any
) -> str:
    """Create and deploy a hostile function; return the deployment's id."""
    entrypoint = ENTRYPOINTS[family]
    settings = {"entrypoint": entrypoint, "execute": ["any"], "timeout": TIMEOUT, **settings}
    api.create(function_id, api.runtime(family), **settings)
    content = code if code is not None else (PROGRAMS / entrypoint).read_bytes()
    return str(api.deploy(function_id, pack(extra={entrypoint: content}))["$id"])


def descriptors(server: Server) -> int:
    """Return how many files the server has open; 0 for a plain user, who cannot see them."""
    return 0 if os.geteuid() else psutil.Process(server.process.pid).num_fds()


def attacks_of(family: str) -> list[str]:
    """Return the attacks of a language."""
    return [name for name in ERRORS if family == "python" or name not in PYTHON_ONLY]


def quick(family: str) -> list[str]:
    """Return the attacks of a language that end soon, which share one function."""
    return [name for name in attacks_of(family) if name not in SLOW]
