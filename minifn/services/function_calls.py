"""Requests to functions: the caller's request with Appwrite's headers added."""

import functools
import time

from minifn.change_feed import ChangeFeed
from minifn.endpoint import ApiEndpoint
from minifn.ids import split_authority
from minifn.models import APPWRITE_VERSION, Execution, ExecutionRequest, Function
from minifn.services.execution_records import was_queued
from minifn.tokens import KEY_GRACE_SECONDS, Tokens, UserClaims
from minifn.workers.records import FunctionRequest

#: Beginning of the names of headers that functions do not get.
_NOT_PASSED = "x-open-runtimes-"

#: Characters of the longest Host header that is read once for many requests.
_KEPT_CHARS = 256


@functools.lru_cache(maxsize=256)
def _address(authority: str) -> tuple[str, int]:
    """Return the host and the port of a Host header, 0 for none."""
    name, port = split_authority(authority)
    return name, int(port) if port.isdecimal() and len(port) < 6 else 0


class FunctionCalls:
    """Makes requests to functions. `endpoint` gives the Host header when the caller sent none."""

    def __init__(
        self, tokens: Tokens, endpoint: ApiEndpoint, changes: ChangeFeed | None = None
    ) -> None:
        self._tokens = tokens
        self._endpoint = endpoint
        self._changes = changes or ChangeFeed()

    def make(
        self, function: Function, execution: Execution, request: ExecutionRequest
    ) -> FunctionRequest:
        """Return the request as the function sees it."""
        headers = self._headers(function, execution, request)
        path, _, query = request.path.partition("?")
        # Trusted from any caller: it only decides the scheme of URLs the function builds for this
        # caller.
        scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
        host = headers["host"]
        name, port = _address(host) if len(host) <= _KEPT_CHARS else _address.__wrapped__(host)
        return FunctionRequest(
            method=request.method,
            scheme=scheme,
            host=name,
            port=port or (443 if scheme == "https" else 80),
            path=path if path.startswith("/") else f"/{path}",
            query=query,
            headers=headers,
            body=request.body,
            timeout_seconds=function.timeout_seconds,
            logging=function.logging,
            execution=execution,
            changes=self._changes,
        )

    def _headers(
        self, function: Function, execution: Execution, request: ExecutionRequest
    ) -> dict[str, str]:
        headers = dict(request.headers)
        if _NOT_PASSED in " ".join(headers):
            headers = {name: headers[name] for name in headers if not name.startswith(_NOT_PASSED)}
        headers.setdefault("host", self._endpoint.authority)
        headers["x-appwrite-trigger"] = execution.trigger
        headers["x-appwrite-execution-id"] = execution.id
        headers["x-appwrite-key"] = self._tokens.mint_key(
            function.scopes,
            function.timeout_seconds,
            depth=request.depth,
            reach=function.reach,
        )
        headers["x-appwrite-user-id"] = request.user_id
        headers["x-appwrite-user-jwt"] = self._user_jwt(function, execution, request)
        headers["x-appwrite-country-code"] = ""
        headers["x-appwrite-continent-code"] = ""
        headers["x-appwrite-continent-eu"] = "false"
        if request.client_ip:
            headers["x-appwrite-client-ip"] = request.client_ip
        if was_queued(execution):
            headers["x-appwrite-event"] = request.event
        if execution.trigger == "event":
            headers["user-agent"] = f"Appwrite/{APPWRITE_VERSION}"
            headers["content-type"] = "application/json"
        return headers

    def _user_jwt(self, function: Function, execution: Execution, request: ExecutionRequest) -> str:
        """Return a JWT of the caller: in a synchronous execution of a session, queued of any user.

        The rule is that of Appwrite's `Functions/Http/Executions/Create.php` and
        `Functions/Workers/Functions.php`. The JWT ends no later than the session, or the function's
        JWT, of the caller; otherwise a function could renew its JWT for ever.
        """
        known = request.user_id if was_queued(execution) else request.session_id
        if not known or execution.trigger == "event":
            return ""
        now = int(time.time())
        ends = now + function.timeout_seconds + KEY_GRACE_SECONDS
        ends = min(ends, request.user_ends or ends)
        if ends <= now:
            return ""
        claims = UserClaims(
            user_id=request.user_id,
            session_id="" if execution.scheduled_at else request.session_id,
            exp=ends,
            for_function=True,
        )
        return self._tokens.mint_user(claims)
