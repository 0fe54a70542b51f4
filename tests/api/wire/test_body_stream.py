"""Bodies as they arrive: their limits, the memory they take and the thread that decodes them."""

import asyncio
import threading

import pytest

from minifn.api.wire.body_stream import BodyTooLong, decoded, read_bytes
from minifn.errors import ArgumentInvalid
from minifn.limits import BODIES_BYTES_MAX
from tests.api.site import SiteServer
from tests.api.wire.receiving import receiver


def test_a_body_that_is_too_long_or_cut_short() -> None:
    with pytest.raises(BodyTooLong):
        asyncio.run(read_bytes(receiver(b"123", b"456"), 5))
    with pytest.raises(ArgumentInvalid, match="early"):
        asyncio.run(read_bytes(receiver(b"123", whole=False)))


def test_a_thread_decodes_long_bodies() -> None:
    async def where(size_bytes: int) -> threading.Thread:
        return await decoded(bytes(size_bytes), threading.current_thread)

    assert asyncio.run(where(1000)) is threading.current_thread()
    assert asyncio.run(where(1_000_000)) is not threading.current_thread()


@pytest.mark.parametrize("path", ["/functions/f/executions", "/account/sessions/email"])
def test_all_operations_share_one_budget_of_memory(site: SiteServer, path: str) -> None:
    with site.admin() as client:
        budget = site.site.budgets.bodies
        taken = BODIES_BYTES_MAX - 10
        budget.take(taken)
        answer = client.post(path, json={"body": "x" * 20})
        assert (answer.status_code, answer.json()["type"]) == (503, "general_service_overloaded")
        assert budget.used == taken
        budget.give(taken)
        client.post(path, json={"body": "x" * 20})
        assert budget.used == 0
