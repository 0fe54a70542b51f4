"""A server beside other work: on the event loop of a program, without signals and a log of its own.

Tests and notebooks use it; it has none of the limits with which `minifn serve` faces strangers.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from minifn.config import Config
from minifn.embed import Minifn
from minifn.server import url_of
from minifn.server.listening import listen

#: Seconds that requests in flight have to end when the server stops.
GRACE_SECONDS = 5


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Minifn]:
    """Serve until the block ends. With port 0 the kernel chooses one; `minifn.config` has it.

    Raises AddressUnavailable, and the errors of a start, such as DataInUse.
    """
    with listen(config.host, config.port) as listeners:
        config = dataclasses.replace(config, port=listeners.port)
        url = url_of(config)
        config = dataclasses.replace(config, endpoint=config.endpoint or f"{url}/v1")
        async with Minifn(config) as minifn:
            address = minifn.data.address
            await asyncio.to_thread(minifn.data.leave_address, f"{url}\n{config.project}\n")
            server = uvicorn.Server(
                uvicorn.Config(
                    minifn.app,
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
            serve = asyncio.create_task(server.serve(sockets=listeners.duplicates()))
            try:
                yield minifn
            finally:
                await asyncio.to_thread(address.unlink, missing_ok=True)
                server.should_exit = True
                await serve
