"""Translates between HTTP and functions on domains: requests for them, and their answers."""

from starlette.types import Scope

from minifn.api.hosts import path_below
from minifn.api.wire.answers import Answer, RawHeaders, problem_answer
from minifn.errors import MinifnError
from minifn.models import Caller, ExecutionRequest, ExecutionResult, Headers

#: Headers of one connection, which are not forwarded (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
#: Headers that a caller may not set; the server replaces its other x-appwrite-* headers.
_NOT_FORWARDED = HOP_BY_HOP | {"x-appwrite-event", "x-appwrite-client-ip"}
#: Headers that the server sets itself.
_NOT_ANSWERED = HOP_BY_HOP | {"content-length", "date"}
_WITHOUT_BODY = frozenset({204, 304})


def request_of(scope: Scope, body: bytes, caller: Caller) -> ExecutionRequest:
    """Return a request to a function's domain as the request for the function."""
    path = path_below(scope)
    query = scope["query_string"].decode("latin-1")
    client = scope.get("client")
    return ExecutionRequest(
        method=scope["method"],
        path=f"{path}?{query}" if query else path,
        headers=_forwarded(scope["headers"]),
        body=body,
        user_id=caller.user_id,
        session_id=caller.session_id,
        client_ip=str(client[0]) if client else "",
    )


def _forwarded(raw: RawHeaders) -> Headers:
    """Return headers with one value a name: cookies joined by semicolons, others by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            headers[name] += f"{'; ' if name == 'cookie' else ', '}{value}"
        elif name not in _NOT_FORWARDED:
            headers[name] = value
    return tuple(headers.items())


def answer_of(result: ExecutionResult, scope: Scope) -> Answer:
    """Return a function's answer unchanged."""
    status, body = _status(result), result.body
    answer = Answer(status, b"" if status in _WITHOUT_BODY else body, _headers(result))
    described = scope["method"] == "HEAD" and not body
    if status in _WITHOUT_BODY or described:
        # The content-length is last: these answers have no body whose length it could tell.
        answer.headers.pop()
    if described:
        answer.headers += _described_length(result.headers)
    return answer


def _described_length(headers: Headers) -> RawHeaders:
    """Return the length that a function gives in its answer to HEAD (RFC 9110, 8.6)."""
    given = (value for name, value in headers if name == "content-length")
    return [
        (b"content-length", value.encode())
        for value in given
        if value.isascii() and value.isdecimal()
    ][:1]


def is_bare_error(result: ExecutionResult, scope: Scope) -> bool:
    """Tell whether a function answered with an error and no text about it."""
    return _status(result) >= 400 and not result.body and scope["method"] != "HEAD"


def problem_of(result: ExecutionResult) -> Answer:
    """Return an error with the server's own text, as JSON, in place of the missing body."""
    message = "The function answered with an error and no more."
    problem = problem_answer(_status(result), message, MinifnError.type)
    kept = [item for item in _headers(result) if not item[0].startswith(b"content-")]
    content_type = next(item for item in problem.headers if item[0] == b"content-type")
    return Answer(problem.status, problem.body, [content_type, *kept])


def _status(result: ExecutionResult) -> int:
    # Another status has no meaning in HTTP, or ends no answer, and would break the connection.
    return code if 200 <= (code := result.execution.response_status_code) <= 599 else 500


def _headers(result: ExecutionResult) -> RawHeaders:
    return [
        (name.encode("latin-1"), _encoded(value))
        for name, value in result.headers
        if name not in _NOT_ANSWERED
    ]


def confine_cookies(answer: Answer) -> None:
    """Limit the cookies of an answer to its own host, by removing their Domain attributes."""
    answer.headers = [
        (name, _without_domain(value) if name == b"set-cookie" else value)
        for name, value in answer.headers
    ]


def _without_domain(cookie: bytes) -> bytes:
    pair, *attributes = cookie.split(b";")
    kept = (item for item in attributes if item.partition(b"=")[0].strip().lower() != b"domain")
    return b";".join((pair, *kept))


def _encoded(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()
