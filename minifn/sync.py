"""A twin of `Minifn` for programs without an event loop: scripts, and views of Django.

Each method is the one of `Minifn` with the same arguments, and waits for its result. The event loop
runs in a thread of its own, or it is that of the app that runs the given `Minifn`.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from minifn.config import Config
from minifn.embed import Minifn
from minifn.embed.options import RequestOptions
from minifn.errors import NotRunning
from minifn.models import Execution, ExecutionResult
from minifn.services.executions import Executions
from minifn.services.functions import FunctionService
from minifn.services.variables import VariableService

logger = logging.getLogger("minifn.sync")

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
#: Seconds that calls in flight have to end when everything has stopped.
STOP_SECONDS = 2.0


class _Waiting(Generic[S, P, T]):
    """A method of `Minifn`, or of a part of it, as one that waits."""

    def __init__(
        self,
        part: Callable[[Minifn], S],
        method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
    ) -> None:
        self._part, self._method = part, method
        self.__doc__ = method.__doc__

    def __get__(self, twin: "SyncMinifn", owner: type["SyncMinifn"]) -> Callable[P, T]:
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            minifn = twin.minifn
            return twin.wait(lambda: self._method(self._part(minifn), *args, **kwargs))

        call.__doc__ = self.__doc__
        return call


class _Iterating(Generic[S, P, T]):
    """An asynchronous iterator of `Minifn`, or of a part of it, as one that waits."""

    def __init__(
        self,
        part: Callable[[Minifn], S],
        method: Callable[Concatenate[S, P], AsyncIterator[T]],
    ) -> None:
        self._part, self._method = part, method
        self.__doc__ = method.__doc__

    def __get__(self, twin: "SyncMinifn", owner: type["SyncMinifn"]) -> Callable[P, Iterator[T]]:
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            items = self._method(self._part(twin.minifn), *args, **kwargs)
            try:
                while found := twin.wait(lambda: _next(items)):
                    yield found[0]
            except GeneratorExit:
                if isinstance(items, AsyncGenerator):
                    twin.wait(items.aclose)
                raise

        call.__doc__ = self.__doc__
        return call


async def _next(items: AsyncIterator[T]) -> tuple[T] | None:
    """Return the next item in a tuple, None at the end."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None


class SyncMinifn:
    """`Minifn` for code that waits. With a Config it is a context manager, or started by a call.

    A program that ends without `close` ends functions as when it is killed: the next start carries
    on. A `Minifn` stays with the app that runs it: calls go to that app's event loop, from every
    thread but the loop's own. `serve` has the HTTP API served at the host and port of the Config.
    """

    def __init__(self, minifn: Config | Minifn, *, serve: bool = False) -> None:
        self._given = minifn
        self._serve = serve
        self._minifn: Minifn | None = minifn if isinstance(minifn, Minifn) else None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._closed = False
        #: The process that has the thread.
        self._pid = 0

    deploy = _Waiting(lambda minifn: minifn, Minifn.deploy)
    delete = _Waiting(lambda minifn: minifn, Minifn.delete)
    emit = _Waiting(lambda minifn: minifn, Minifn.emit)
    set_variables = _Waiting(lambda minifn: minifn.variables, VariableService.set)
    logs = _Iterating(lambda minifn: minifn, Minifn.logs)
    functions = _Iterating(lambda minifn: minifn.functions, FunctionService.__call__)
    variables = _Iterating(lambda minifn: minifn.variables, VariableService.__call__)
    executions = _Iterating(lambda minifn: minifn.executions, Executions.__call__)

    @overload
    def execute(
        self,
        function_id: str,
        *,
        background: Literal[False] = False,
        at: None = None,
        **request: Unpack[RequestOptions],
    ) -> ExecutionResult: ...

    @overload
    def execute(
        self,
        function_id: str,
        *,
        background: Literal[True],
        at: datetime | None = None,
        **request: Unpack[RequestOptions],
    ) -> Execution: ...

    @overload
    def execute(
        self,
        function_id: str,
        *,
        background: bool = True,
        at: datetime,
        **request: Unpack[RequestOptions],
    ) -> Execution: ...

    def execute(self, function_id: str, **request: Any) -> ExecutionResult | Execution:
        """Run a function as `Minifn.execute` does."""
        minifn = self.minifn
        result: ExecutionResult | Execution = self.wait(
            lambda: minifn.execute(function_id, **request)
        )
        return result

    @property
    def minifn(self) -> Minifn:
        """The `Minifn` that runs, started if need be. Raises NotRunning, and errors of a start."""
        self._check_process()
        if self._thread is None and not self._closed and not isinstance(self._given, Minifn):
            self.start()
        if self._minifn is None or not self._minifn.running:
            raise NotRunning
        return self._minifn

    def wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a coroutine that runs on the event loop of `minifn`.

        Raises NotRunning when it stops meanwhile, and RuntimeError on the thread of that loop,
        which would wait for itself.
        """
        self._check_process()
        loop = self._loop or self.minifn.lost.get_loop()
        if asyncio._get_running_loop() is loop:
            raise RuntimeError("the event loop would wait for itself: await the method of Minifn")
        future = asyncio.run_coroutine_threadsafe(work(), loop)
        try:
            return future.result()
        except CancelledError as error:
            raise NotRunning from error
        except BaseException:
            # Also when Ctrl-C ends the wait.
            future.cancel()
            raise

    def _check_process(self) -> None:
        """Raise NotRunning in a fork of the process that runs it: a fork has no other threads."""
        if self._thread is not None and self._pid != os.getpid():
            raise NotRunning(
                f"minifn runs in process {self._pid}, of which this one is a fork: call it there,"
                " or by HTTP."
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start unless it runs. Raises the errors of a start, such as DataInUse."""
        with self._lock:
            if self._thread is not None or isinstance(self._given, Minifn):
                return
            started: Future[None] = Future()
            thread = threading.Thread(
                target=self._run, args=(self._given, started), name="minifn", daemon=True
            )
            thread.start()
            try:
                started.result()
            except BaseException:
                thread.join()
                raise
            self._thread, self._closed, self._pid = thread, False, os.getpid()

    def close(self) -> None:
        """Stop, and wait for the end. A second call does nothing; an app's `Minifn` stays."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._closed = True
            if thread is not None and self._loop is not None and self._pid == os.getpid():
                self._loop.call_soon_threadsafe(self._stop.set)
                thread.join()
                self._loop = None

    def _run(self, config: Config, started: "Future[None]") -> None:
        try:
            asyncio.run(self._live(config, started))
        except BaseException as error:
            if started.done():
                logger.exception("minifn ended")
            else:
                started.set_exception(error)

    async def _live(self, config: Config, started: "Future[None]") -> None:
        if self._serve:
            # Imported on first use: most programs serve nothing.
            from minifn.server.background import serving

            running: AbstractAsyncContextManager[Minifn] = serving(config)
        else:
            running = Minifn(config)
        self._stop = asyncio.Event()
        async with running as self._minifn:
            self._loop = asyncio.get_running_loop()
            started.set_result(None)
            await self._stop.wait()
        # Calls that wait for news have been told of the stop.
        if calls := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(calls, timeout=STOP_SECONDS)
