"""The time to read untrusted input grows with its length and no faster, for any content.

Each reader refuses by its own exceptions: another one, such as RecursionError, would become an
answer 500.
"""

import contextlib
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from io import BytesIO
from typing import Any, cast

import pytest

import minifn
from minifn import cron, event_names, git_names, jsontext
from minifn.api import hosts
from minifn.api.access.callers import Authenticator
from minifn.api.access.console_sessions import ConsoleSessions
from minifn.api.access.operators import Operators
from minifn.api.access.origins import Origins, is_same_host
from minifn.api.operations import executions, vcs
from minifn.api.operations.events import HappenedEvent, JsonObject
from minifn.api.wire import bodies, kinds
from minifn.api.wire.downloads import read_range
from minifn.api.wire.formats import Shape as AnswerShape, shape_of
from minifn.api.wire.list_attributes import FUNCTIONS
from minifn.api.wire.params import Boolean, Id, Integer, Limits, OneOf
from minifn.api.wire.queries import read_query
from minifn.archive.uploads import parse_content_range
from minifn.errors import MinifnError
from minifn.git import fetcher, installations, pktlines
from minifn.ids import is_domain
from minifn.instants import parse_instant
from minifn.log_text import one_line
from minifn.models import Caller
from minifn.server import MESSAGE_BYTES_MAX
from minifn.server.connections import HEAD_BYTES_MAX
from minifn.services.keys import Keys
from minifn.services.sign_in_links import SignInLinks
from minifn.store.database import Database
from minifn.store.search import matches_words
from minifn.tokens import OperatorTokens, Tokens
from minifn.workers import protocol
from minifn.workers.records import response_headers
from tests.growth import SHAPES, Shape, excess

#: Bytes; a body may have some times as many, but by then a cost that grows faster has shown itself.
BODY_BYTES = 1024 * 1024
NAME_BYTES = 8192
FRAME_BYTES = protocol.HEADER_LIMIT_BYTES
FORM = b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
TOKENS = Tokens("s" * 32, "minifn")
#: Neither is asked before a token was found to be good.
NO_DATABASE = cast("Database", None)
OPERATORS = Operators(NO_DATABASE, "k", time.time)
CONSOLES = ConsoleSessions(
    operators=OPERATORS, admin_key="k", keys=Keys(NO_DATABASE), links=SignInLinks()
)
AUTHENTICATOR = Authenticator(
    project="minifn",
    admin_key="k",
    keys=Keys(NO_DATABASE),
    tokens=TOKENS,
    operators=OPERATORS,
    consoles=CONSOLES,
)
ORIGINS = Origins(("*.a.*.example", "*a*a*a", "*.*"), "functions.localhost")
GLOBS = ("**/a" * 30 + "b", "*?" * 60 + "b")


def caller(headers: Mapping[bytes, bytes]) -> Caller:
    """Return the caller of these headers, without waiting."""
    found: Coroutine[Any, Any, Caller] = AUTHENTICATOR.identify(headers, b"minifn")
    try:
        found.send(None)
    except StopIteration as end:
        return cast("Caller", end.value)
    raise AssertionError("the database was asked")


def header(name: bytes, before: bytes = b"") -> Callable[[bytes], object]:
    return lambda text: caller({name: before + text})


def checked(kind: Any) -> Callable[[bytes], object]:
    """Reads a parameter as text."""
    return lambda text: kind.check(
        text.decode("latin-1"), Limits(runtimes=frozenset({"python-3.11"}))
    )


def checked_headers(given: Mapping[str, str]) -> object:
    return kinds.RequestHeaders().check(given, Limits())


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda content: read(content.decode("latin-1"))


def worker_frames(content: bytes) -> None:
    """Frames in pieces, as a socket gives them."""
    decoder = protocol.Decoder()
    for start in range(0, len(content), 4096):
        for head, _ in decoder.feed(content[start : start + 4096]):
            protocol.decode_worker_frame(head)


def frame_body(content: bytes) -> None:
    worker_frames(protocol.encode(protocol.Log(1, "logs"), content))


def multipart(content: bytes) -> None:
    bodies.decode(content, "multipart/form-data; boundary=X")


def scope(name: bytes, value: bytes) -> dict[str, Any]:
    return {"type": "http", "headers": [(name, value)]}


#: Name of an input, its reader, and the bytes of the text that it is given.
READERS: dict[str, tuple[Callable[[bytes], object], int]] = {
    # Bodies
    "JSON body": (lambda content: bodies.decode(content, "application/json"), BODY_BYTES),
    "body without a type": (lambda content: bodies.decode(content, ""), BODY_BYTES),
    "urlencoded body": (
        lambda content: bodies.decode(content, "application/x-www-form-urlencoded"),
        BODY_BYTES,
    ),
    "urlencoded value": (
        lambda content: bodies.decode(b"body=" + content, "application/x-www-form-urlencoded"),
        BODY_BYTES,
    ),
    "multipart body": (multipart, BODY_BYTES),
    "multipart part": (lambda content: multipart(FORM + content + b"\r\n--X--\r\n"), BODY_BYTES),
    "multipart header": (
        lambda content: multipart(b"--X\r\n" + content + b"\r\n\r\n\r\n--X--\r\n"),
        BODY_BYTES,
    ),
    "multipart disposition": (
        lambda content: multipart(
            b"--X\r\nContent-Disposition: form-data; " + content + b"\r\n\r\n\r\n--X--\r\n"
        ),
        BODY_BYTES,
    ),
    "content type": (
        lambda content: bodies.decode(b"x", f"multipart/form-data; {content.decode('latin-1')}"),
        HEAD_BYTES_MAX,
    ),
    "event payload": (
        lambda content: JsonObject().check(bodies.decode(content, ""), Limits()),
        BODY_BYTES,
    ),
    "webhook": (lambda content: vcs._names(content, "application/json"), BODY_BYTES),
    "webhook form": (
        lambda content: vcs._names(b"payload=" + content, "application/x-www-form-urlencoded"),
        BODY_BYTES,
    ),
    # Heads
    "query string": (bodies.parse_query, HEAD_BYTES_MAX),
    "query value": (lambda content: bodies.parse_query(b"queries[]=" + content), HEAD_BYTES_MAX),
    "Host": (lambda content: hosts.host_of(scope(b"host", content)), HEAD_BYTES_MAX),
    "Origin": (lambda content: ORIGINS.check("POST", {b"origin": content}), HEAD_BYTES_MAX),
    "Origin with a host": (
        lambda content: ORIGINS.check("POST", {b"origin": b"https://" + content, b"host": content}),
        HEAD_BYTES_MAX,
    ),
    "same host": (
        lambda content: is_same_host({b"origin": content, b"host": content}),
        HEAD_BYTES_MAX,
    ),
    "cookies": (header(b"cookie"), HEAD_BYTES_MAX),
    "session cookie": (header(b"cookie", b"a_session_minifn="), HEAD_BYTES_MAX),
    "operator's cookie": (
        lambda content: caller(
            {b"cookie": b"a_session_console=" + content, b"x-appwrite-mode": b"admin"}
        ),
        HEAD_BYTES_MAX,
    ),
    "session": (header(b"x-appwrite-session"), HEAD_BYTES_MAX),
    "fallback cookies": (header(b"x-fallback-cookies"), HEAD_BYTES_MAX),
    "JWT": (header(b"x-appwrite-jwt"), HEAD_BYTES_MAX),
    "function's key": (header(b"x-appwrite-key", b"dynamic_"), HEAD_BYTES_MAX),
    "operator's session": (text(OperatorTokens("k").verify), HEAD_BYTES_MAX),
    "response format": (text(shape_of.__wrapped__), HEAD_BYTES_MAX),
    "Accept": (
        lambda content: executions._wants_multipart({b"accept": content}),
        HEAD_BYTES_MAX,
    ),
    "Range": (text(lambda content: read_range(content, 1000)), HEAD_BYTES_MAX),
    "Content-Range": (text(parse_content_range), HEAD_BYTES_MAX),
    # Parameters
    "headers": (checked(kinds.RequestHeaders()), BODY_BYTES),
    "header name": (lambda content: checked_headers({content.decode("latin-1"): "x"}), BODY_BYTES),
    "header value": (lambda content: checked_headers({"x": content.decode("latin-1")}), BODY_BYTES),
    "role": (checked(kinds.Role()), BODY_BYTES),
    "scope": (checked(kinds.ScopeName()), BODY_BYTES),
    "subscription": (checked(kinds.EventName()), BODY_BYTES),
    "event": (checked(HappenedEvent()), BODY_BYTES),
    "schedule": (checked(kinds.Cron()), BODY_BYTES),
    "instant": (checked(kinds.Instant()), BODY_BYTES),
    "number": (checked(Integer(0, 10)), BODY_BYTES),
    "boolean": (checked(Boolean(loose=True)), BODY_BYTES),
    "choice": (checked(OneOf(("a", "b"))), BODY_BYTES),
    "id": (checked(Id()), BODY_BYTES),
    "domain": (text(is_domain), BODY_BYTES),
    "query": (text(lambda content: read_query([content], FUNCTIONS, AnswerShape.FULL)), BODY_BYTES),
    "textual query": (
        text(lambda content: read_query([content], FUNCTIONS, AnswerShape.V1_4)),
        BODY_BYTES,
    ),
    "searched text": (text(lambda content: matches_words(content, '"a a a b"')), HEAD_BYTES_MAX),
    "search": (text(lambda content: matches_words("a b " * 60, content[:256])), HEAD_BYTES_MAX),
    "log line": (text(one_line), BODY_BYTES),
    # Inputs that are parsed only after a check of their length
    "cron expression": (text(cron.parse.__wrapped__), HEAD_BYTES_MAX),
    "event pattern": (text(event_names.is_subscribable), HEAD_BYTES_MAX),
    "event name": (text(event_names.is_event), HEAD_BYTES_MAX),
    "bare instant": (text(parse_instant), HEAD_BYTES_MAX),
    # Git
    "reference": (text(git_names.is_reference), BODY_BYTES),
    "commit": (text(git_names.is_commit), BODY_BYTES),
    "repository": (text(git_names.is_repository), BODY_BYTES),
    "folder": (text(git_names.folder), BODY_BYTES),
    "glob": (text(lambda content: git_names.Glob(content).fits("a/" * 50)), NAME_BYTES),
    "branch for globs": (text(lambda content: git_names.matches(content, GLOBS)), NAME_BYTES),
    "path for globs": (text(lambda content: git_names.touches([content], GLOBS)), NAME_BYTES),
    "push": (lambda content: pktlines.read_push(BytesIO(content)), BODY_BYTES),
    "what git says": (text(installations.without_credentials), BODY_BYTES),
    "branches that git lists": (text(fetcher._HEAD.findall), BODY_BYTES),
    "tags that git lists": (text(fetcher._TAG.findall), BODY_BYTES),
    # Connections that stay
    "realtime message": (
        lambda content: jsontext.decode_as(dict[str, Any], content),
        MESSAGE_BYTES_MAX,
    ),
    "worker's frames": (worker_frames, BODY_BYTES),
    "worker's frame body": (frame_body, BODY_BYTES),
    "worker's frame header": (protocol.decode_worker_frame, FRAME_BYTES),
    "worker's answer headers": (response_headers, FRAME_BYTES),
}

#: Errors by which readers refuse: the answers 400 and 401, the end of a worker or of a push.
REFUSALS = (MinifnError, ValueError)


def refusing(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def attempt(content: bytes) -> None:
        with contextlib.suppress(*REFUSALS):
            read(content)

    return attempt


@pytest.mark.parametrize("name", READERS)
def test_the_cost_of_reading_grows_with_the_length(name: str) -> None:
    read, limit_bytes = READERS[name]
    found = [excess(refusing(read), shape, limit_bytes) for shape in SHAPES]
    assert [problem for problem in found if problem] == []


def expressions() -> dict[str, re.Pattern[Any]]:
    """Every regular expression that a module of the package keeps, by its name."""
    names = [module.name for module in pkgutil.walk_packages(minifn.__path__, "minifn.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def test_no_regular_expression_tries_one_way_after_the_other() -> None:
    """All expressions, so that a new one is tested too."""
    problems = []
    found = expressions()
    for name, pattern in found.items():

        def match(content: bytes, pattern: re.Pattern[Any] = pattern) -> None:
            pattern.fullmatch(
                content if isinstance(pattern.pattern, bytes) else content.decode("latin-1")
            )

        problems += [
            f"{name}: {problem}" for shape in SHAPES if (problem := excess(match, shape, 65_536))
        ]
    assert len(found) > 20
    assert problems == []


@pytest.mark.parametrize("unit", [b'"\\', b"a"])
def test_a_quadratic_reader_is_found(unit: bytes) -> None:
    """The check itself, by an old pattern for JSON bodies, and by one that tries each start."""
    pattern = re.compile(rb'"(?:[^"\\]++|\\.)*+"' if unit != b"a" else rb"a+b", re.DOTALL)
    assert excess(lambda content: list(pattern.finditer(content)), Shape(unit), 65_536)
