"""A request in flight: its logs so far, and its answer."""

import asyncio
import time
from typing import Literal

import msgspec

from minifn.change_feed import Printed
from minifn.sandbox.command import Exit
from minifn.workers import protocol
from minifn.workers.records import (
    LOG_LIMIT_BYTES,
    Failure,
    FunctionRequest,
    FunctionResponse,
    response_headers,
)


class Call(msgspec.Struct, eq=False):
    """A request in flight."""

    future: "asyncio.Future[FunctionResponse]"
    request: FunctionRequest
    began: float
    deadline: float
    #: Bytes that the process had written to its own output when the call began.
    output_mark: int
    delivered: bool = False
    #: Bytes logged, kept or not.
    logged: int = 0
    kept: dict[str, bytearray] | None = None
    kept_bytes: int = 0
    #: Streams that were cut below their limit, because other calls of the worker logged much.
    crowded: set[str] = set()
    #: Logged bytes that no watcher was told of, by stream in their order.
    untold: list[tuple[Literal["logs", "errors"], bytearray]] = []

    def log(self, stream: Literal["logs", "errors"], text: bytes, budget: int) -> int:
        """Keep logged bytes within the stream's limit and `budget`; return how many were kept."""
        self.logged += len(text)
        if self.future.cancelled() or not self.request.logging:
            return 0
        if self.request.changes.live:
            self._tell(stream, text)
        if self.kept is None:
            self.kept = {"logs": bytearray(), "errors": bytearray()}
        kept = self.kept[stream]
        if len(kept) > LOG_LIMIT_BYTES or stream in self.crowded:
            return 0
        # One byte above the limit shows that the stream was cut.
        text = text[: LOG_LIMIT_BYTES + 1 - len(kept)]
        if len(text) > budget:
            self.crowded.add(stream)
            return 0
        kept += text
        self.kept_bytes += len(text)
        return len(text)

    def _tell(self, stream: Literal["logs", "errors"], text: bytes) -> None:
        """Have the watchers of the server's changes hear of logged bytes in the next turn.

        Bytes of one turn are told together: they cost each watcher as much as one line.
        """
        if not self.untold:
            asyncio.get_running_loop().call_soon(self._tell_gathered)
        if self.untold and self.untold[-1][0] == stream:
            self.untold[-1][1].extend(text)
        else:
            self.untold.append((stream, bytearray(text)))

    def _tell_gathered(self) -> None:
        execution, gathered, self.untold = self.request.execution, self.untold, []
        if execution is None:
            return
        for stream, text in gathered:
            news = Printed(
                execution_id=execution.id,
                function_id=execution.function_id,
                stream=stream,
                text=text.decode(errors="replace"),
            )
            self.request.changes.tell_watchers(news)

    def text(self, stream: str, name: str) -> str:
        """Return the kept part of a stream; a cut one ends with Open Runtimes' note on `name`."""
        kept = self.kept[stream] if self.kept is not None else b""
        text = kept[:LOG_LIMIT_BYTES].decode(errors="replace")
        if stream in self.crowded:
            return f"{text}\n{name} file has been truncated: too much is logged at once.\n"
        if len(kept) <= LOG_LIMIT_BYTES:
            return text
        return f"{text}\n{name} file has been truncated to 5.00MB.\n"

    def finish(
        self,
        status_code: int = 500,
        headers: bytes = b"[]",
        body: bytes = b"",
        failure: Failure = "",
        error: str = "",
    ) -> None:
        """Answer; `error` is added to the function's own errors, unless it is their last line."""
        if self.future.done():
            return
        errors = self.text("errors", "Error") if self.kept else ""
        self.future.set_result(
            FunctionResponse(
                status_code=status_code,
                headers=response_headers(headers),
                body=body,
                logs=self.text("logs", "Log") if self.kept else "",
                # A wrapper may say at the same moment that the time is over.
                errors=errors if error and errors.endswith(error) else errors + error,
                failure=failure,
                delivered=self.delivered,
                duration_seconds=time.monotonic() - self.began,
            )
        )


def request_frame(
    number: int, request: FunctionRequest, remaining_seconds: float
) -> protocol.Request:
    """Return the frame of a request."""
    return protocol.Request(
        id=number,
        method=request.method,
        scheme=request.scheme,
        host=request.host,
        port=request.port,
        path=request.path,
        query=request.query,
        headers=request.headers,
        timeout=min(request.timeout_seconds or remaining_seconds, remaining_seconds),
        logging=request.logging,
    )


def describe_exit(exit: Exit) -> str:
    """Return one line about an end, for the function's owner."""
    if exit.reason:
        return f"The function's process was ended: {exit.reason}.\n"
    if exit.signal is not None:
        name = f" ({exit.signal_name})" if exit.signal_name else ""
        return f"The function's process was ended by signal {exit.signal}{name}.\n"
    return f"The function's process exited with code {exit.code} before it answered.\n"
