"""Builds followed by the feed of changes."""

import asyncio

from minifn.change_feed import ChangeFeed
from minifn.git.follower import BuildFollower
from minifn.models import Deployment, DeploymentStatus, Function


def deployment(name: str, status: DeploymentStatus = "building") -> Deployment:
    return Deployment(
        id=name,
        created_at=0,
        updated_at=0,
        function_id="fn",
        type="vcs",
        entrypoint="",
        status=status,
    )


async def heard(follower: BuildFollower, name: str) -> str:
    async with asyncio.timeout(5):
        return "".join([text async for text in follower.log(name, 60)])


def test_a_log_is_heard_until_its_build_ends() -> None:
    async def test() -> None:
        changes = ChangeFeed()
        follower = BuildFollower("fn")
        with changes.followed(follower.hear):
            assert not changes.heard
            changes.tell_log("one", "before it is expected\n")
            follower.expect("one")
            follower.expect("two")
            reading = asyncio.create_task(heard(follower, "one"))
            for text in ("a\n", "b\n"):
                changes.tell_log("one", text)
                changes.tell_log("two", "another\n")
                await asyncio.sleep(0)
            changes.tell("update", deployment("one"))
            changes.tell("update", deployment("one", "ready"))
            changes.tell_log("one", "after its end\n")
            assert await reading == "a\nb\n"
            assert follower.outcome("one") == deployment("one", "ready")
            changes.tell("delete", deployment("two"))
            assert await heard(follower, "two") == "another\nanother\n"
            assert follower.outcome("two") is None
        changes.tell_log("one", "after the end of all")

    asyncio.run(test())


def test_a_deleted_function_ends_its_builds_alone() -> None:
    async def test() -> None:
        follower = BuildFollower("fn")
        changes = ChangeFeed()
        with changes.followed(follower.hear):
            follower.expect("one")
            changes.tell(
                "delete", Function(id="another", created_at=0, updated_at=0, name="", runtime="")
            )
            changes.tell_log("one", "still here")
            changes.tell(
                "delete", Function(id="fn", created_at=0, updated_at=0, name="", runtime="")
            )
            assert await heard(follower, "one") == "still here"

    asyncio.run(test())


def test_silence_yields_empty_texts() -> None:
    async def test() -> None:
        follower = BuildFollower("fn")
        follower.expect("one")
        async with asyncio.timeout(5):
            assert await anext(follower.log("one", 0.01)) == ""

    asyncio.run(test())


def test_the_oldest_text_of_the_longest_log_is_given_up() -> None:
    async def test() -> None:
        follower = BuildFollower("fn", held_chars_max=100)
        changes = ChangeFeed()
        with changes.followed(follower.hear):
            follower.expect("long")
            follower.expect("short")
            changes.tell_log("short", "short\n")
            for number in range(20):
                changes.tell_log("long", f"line {number:04}\n")
            for name in ("long", "short"):
                changes.tell("update", deployment(name, "failed"))
        kept = "".join(f"line {number:04}\n" for number in range(11, 20))
        gap = "[... 110 characters are left out: the log came faster than it was read ...]"
        assert await heard(follower, "long") == f"\n{gap}\n{kept}"
        assert await heard(follower, "short") == "short\n"

    asyncio.run(test())
