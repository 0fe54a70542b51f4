"""Attacks of a deployed function: paths of `programs/service/`, their errors, and a server under them."""

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
#: Of the functions whose attacks last until they are ended, and of the others, seconds.
SLOW_TIMEOUT, TIMEOUT = 2, 10

TIMED_OUT = r"Execution timed out\.\n"
PROTOCOL = r"The worker broke the protocol: .*"
DIED = r"The function's process (exited with code|was ended by signal) \d+.*"
#: On a busy machine the time is over first, or the memory of Node.js, where logs wait to be written: it then ends by
#: one of these signals, with words or without.
FLOODED = (
    r"The function's process (wrote faster than|was ended[\s\S]* (memory|.*bad_alloc|signal (5|6|11)\b))"
    r"|.* than 64 MB\.\n|" + TIMED_OUT
)
ANSWERED = ""
#: What the errors of each attack say; those that are empty are answered, with the caller's own secret.
ERRORS = {
    "alive": ANSWERED,
    # Time
    "spin": TIMED_OUT,
    "wait": TIMED_OUT,
    "late_reply": TIMED_OUT,
    "half_reply": TIMED_OUT,
    "dripping_reply": TIMED_OUT,
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
    # What a process has
    "take_port": ANSWERED,
    "files": ANSWERED,
    "threads": ANSWERED,
    "memory": r"$|The function's process was ended: memory limit exceeded \(512 MB\)|The function's [\s\S]* memory ",
}
SLOW = (
    *("spin", "wait", "late_reply", "half_reply", "dripping_reply", "daemon_and_wait"),
    *("log_flood", "output_flood", "errors_flood"),
)
#: What is called by the function's domain too: a failure there is a page without a word of the errors.
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
#: Node.js has no words for these, and ends with its memory.
PYTHON_ONLY = {"replace_control", "threads"}


@dataclass
class Seen:
    """What came of one attack."""

    answer: dict[str, Any]
    #: The same by the function's domain.
    domain: httpx.Response | None
    #: How the next execution in the same function went.
    after: dict[str, Any]
    secret: str
    after_secret: str
    #: Of the daemons it started.
    mark: str


@dataclass
class Column:
    """A server under one engine, and a good function that is called for as long as there are attacks."""

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
        """Run an attack and see what it came to."""
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
                # A machine that is busy with the others may need longer than the little time of these for a start.
                if slow and went_on["errors"].startswith("Execution timed out."):
                    went_on = self.call(api, function_id, "alive", after, mark)
            self.seen[family, attack] = Seen(answer, reached, went_on, own, after, mark)

    def attack_in_turn(self, family: str, attacks: list[str]) -> None:
        """Run attacks one after the other; one that is not answered is not seen."""
        for attack in attacks:
            with contextlib.suppress(httpx.TransportError):
                self.attack(family, attack)

    def call_beside(self, over: threading.Event) -> None:
        """Call the good function with secrets; what is not exactly as it should be is noted."""
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
    """How many files the server has open; 0 for a plain user, from whom it hides them."""
    return 0 if os.geteuid() else psutil.Process(server.process.pid).num_fds()


def attacks_of(family: str) -> list[str]:
    """The attacks there are in a language."""
    return [name for name in ERRORS if family == "python" or name not in PYTHON_ONLY]


def quick(family: str) -> list[str]:
    """Those of them that end soon, all in one function."""
    return [name for name in attacks_of(family) if name not in SLOW]
