"""The receiver for asynchronous callers: the same words, awaited, and an event loop that goes on meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from postback_receiver import AsyncReceiver, ReceiverStateError, SilenceBroken, WaitTimeout
from postback_receiver.matcher import path

T = TypeVar("T")


async def get(receiver: AsyncReceiver, target: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def run(story: Callable[[AsyncReceiver], Awaitable[T]]) -> T:
    """Tell a story with a receiver that listens."""

    async def main() -> T:
        async with AsyncReceiver() as receiver:
            return await story(receiver)

    return asyncio.run(main())


def test_what_is_waited_for_arrives_while_the_loop_goes_on() -> None:
    async def story(receiver: AsyncReceiver) -> list[str]:
        waiting_for_one = asyncio.create_task(receiver.wait_for(path("/b")))
        waiting_for_two = asyncio.create_task(receiver.wait_for_count(2, path("/a")))
        for target in ["/a?1", "/b", "/a?2"]:
            await get(receiver, target)
        found = [await waiting_for_one, *await waiting_for_two]
        assert [capture.target for capture in await receiver.wait_idle(quiet=0.01)] == ["/a?1", "/b", "/a?2"]
        await receiver.assert_silent(for_=0.01, after=receiver.mark())
        receiver.assert_order(path("/a"), path("/b"), path("/a"))
        return [capture.target for capture in found]

    assert run(story) == ["/b", "/a?1", "/a?2"]


def test_time_outs_and_broken_silence_are_told_as_in_synchronous_code() -> None:
    async def story(receiver: AsyncReceiver) -> None:
        mark = receiver.mark()
        await get(receiver, "/a")
        with pytest.raises(WaitTimeout, match="Nearest miss: GET /a"):
            await receiver.wait_for(path("/b"), timeout=0.01)
        with pytest.raises(SilenceBroken):
            await receiver.assert_silent(for_=60, after=mark)

    run(story)


def test_a_wait_can_be_cancelled_and_ends_when_the_receiver_closes() -> None:
    async def main() -> None:
        async with AsyncReceiver() as receiver:
            waiting = asyncio.create_task(receiver.wait_for(timeout=60))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await receiver.wait_for(timeout=60)
            receiver.reply(418)
            assert not waiting.done()
            receiver.clear()
            left = asyncio.create_task(receiver.assert_silent(for_=60))
            await asyncio.sleep(0)
        for task in (waiting, left):
            with pytest.raises(ReceiverStateError, match="The receiver was closed"):
                await task

    asyncio.run(main())


def test_a_request_under_way_in_the_same_loop_is_finished_when_the_block_ends() -> None:
    async def story(receiver: AsyncReceiver) -> tuple[AsyncReceiver, asyncio.Task[bytes]]:
        asking = asyncio.create_task(get(receiver, "/a"))
        await receiver.wait_for(path("/a"))
        return receiver, asking

    async def main() -> None:
        async with AsyncReceiver() as receiver:
            _, asking = await story(receiver)
        assert (await asking).startswith(b"HTTP/1.1 200")
        assert [capture.target for capture in receiver.captures()] == ["/a"]

    asyncio.run(main())


def test_a_fixture_that_is_not_asynchronous_starts_and_stops_it_as_well() -> None:
    with AsyncReceiver() as receiver:

        async def story() -> str:
            await get(receiver, "/a")
            return (await receiver.wait_for()).target

        assert asyncio.run(story()) == "/a"
