"""One run of delivering ends whole: whatever stops it, nothing is sent afterwards, and nothing stays claimed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import cast

import pytest

from postback_sender import Event, NotificationSource, Sender, parse_notification
from postback_sender.outbox.entry import Entry
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox


class Endpoint:
    """Answers 200, and counts what arrives."""

    def __init__(self) -> None:
        self.count = 0
        self.arrived = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.count += 1
                self.arrived.set()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[Endpoint, str]]:
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        yield endpoint, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*endpoint.serving)


def source(url: str) -> NotificationSource:
    return NotificationSource(name="n.toml", text=f'url = "{url}/{{ActionId}}"\n')


def events(count: int) -> list[Event]:
    now = datetime.now(UTC)
    return [Event(kind="action_lifecycle", at=now, values={"ActionId": str(number)}) for number in range(count)]


async def deliver(sender: Sender) -> int:
    return len([delivery async for delivery in sender.deliver()])


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def started() -> None:
        await main()

    asyncio.run(started())


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_whoever_is_cancelled_twice_leaves_nothing_claimed(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    async def main() -> None:
        async with serving() as (endpoint, url):
            path = tmp_path_factory.mktemp("o") / "o.sqlite"
            outbox = MemoryOutbox() if kind == "memory" else SqliteOutbox(path, source(url))
            async with outbox:
                async with Sender(parse_notification(source(url), {}), outbox=outbox, concurrency=2) as sender:
                    await sender.accept(events(30))
                    delivering = asyncio.create_task(deliver(sender))
                    await endpoint.arrived.wait()
                    delivering.cancel()
                    await asyncio.sleep(0)
                    delivering.cancel()
                    await asyncio.wait((delivering,))
                    assert delivering.cancelled()
                    left = (await outbox.counts())["waiting"]
                    assert left
                    assert await deliver(sender) == left
                assert (await outbox.counts())["waiting"] == 0

    run(main)


def test_one_deliver_at_a_time() -> None:
    async def main() -> None:
        async with serving() as (_, url), Sender(parse_notification(source(url), {})) as sender:
            await sender.accept(events(5))
            deliveries = sender.deliver()
            await anext(deliveries)
            with pytest.raises(RuntimeError, match="one `deliver` at a time"):
                await deliver(sender)
            assert len([delivery async for delivery in deliveries]) == 4

    run(main)


class FaultyOutbox(MemoryOutbox):
    """An outbox that gets a fault of its own."""

    is_faulty = False

    async def claim(self, *, until_ns: int, limit: int, resends: bool) -> list[Entry]:
        if self.is_faulty:
            raise ValueError("a fault of the outbox")
        return await super().claim(until_ns=until_ns, limit=limit, resends=resends)


def test_after_a_fault_of_the_outbox_nothing_more_is_sent() -> None:
    async def main() -> None:
        async with serving() as (endpoint, url):
            outbox = FaultyOutbox()
            async with Sender(parse_notification(source(url), {}), outbox=outbox, concurrency=1) as sender:
                await sender.accept(events(40))

                async def make_it_faulty() -> None:
                    await endpoint.arrived.wait()
                    outbox.is_faulty = True
                    # It looks into the outbox again.
                    await sender.accept(events(1))

                breaking = asyncio.create_task(make_it_faulty())
                with pytest.raises(ValueError, match="a fault of the outbox"):
                    await deliver(sender)
                await breaking
                sent = endpoint.count
            assert 0 < sent < 40
            assert endpoint.count == sent

    run(main)
