"""The sender and its outbox: what was accepted is delivered once, whatever clocks, disks and endpoints do."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postback_sender import Delivery, Event, Notification, NotificationSource, Sender, parse_notification
from postback_sender.clock import SystemClock
from postback_sender.delivery.policy import Delivered
from postback_sender.errors import RenderError
from postback_sender.outbox.entry import Entry, LoggedAttempt, Outcome
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

HOUR_NS = 3600 * 1_000_000_000


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


class Endpoint:
    """A server that answers with a status and counts what arrives, by target."""

    def __init__(self) -> None:
        self.status = 200
        self.targets: list[str] = []
        self._arrivals = asyncio.Condition()

    async def arrived(self, count: int) -> None:
        async with self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.targets) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                async with self._arrivals:
                    self.targets.append(head.split(b" ")[1].decode())
                    self._arrivals.notify_all()
                writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def serving(endpoint: Endpoint) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def source(port: int, text: str = "") -> NotificationSource:
    return NotificationSource(name="n.toml", text=f'url = "http://127.0.0.1:{port}/{{ActionId}}"\n{text}')


def settings(port: int, text: str = "") -> Notification:
    return parse_notification(source(port, text), {})


def event(name: str, at: datetime | None = None) -> Event:
    return Event(kind="action_lifecycle", at=at or datetime.now(UTC), values={"ActionId": name})


class JumpingClock(SystemClock):
    """A wall clock that can be set back or forward; the monotonic one goes on."""

    def __init__(self) -> None:
        self.jumped_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.jumped_ns


@pytest.mark.parametrize("jump_ns", [-HOUR_NS, HOUR_NS], ids=["back", "forward"])
def test_a_wall_clock_that_jumps_moves_nothing_that_waits(jump_ns: int) -> None:
    async def main() -> None:
        endpoint, clock = Endpoint(), JumpingClock()
        server, port = await serving(endpoint)
        async with server:
            sender = Sender(settings(port, 'minimum_delay = "200ms"'), clock=clock)
            async with sender:
                begun_ns = clock.monotonic_ns()
                await sender.accept([event("1")])
                clock.jumped_ns = jump_ns
                [delivery] = [delivery async for delivery in sender.deliver()]
                waited_ns = delivery.attempts[0].started_ns - begun_ns
        # Neither an hour late nor at once; a wall clock in microseconds was read a moment before.
        assert 199_000_000 <= waited_ns < 30_000_000_000

    run(main)


@pytest.mark.parametrize("jump_ns", [-HOUR_NS, HOUR_NS], ids=["back", "forward"])
def test_what_happens_after_a_jump_waits_its_full_delay(jump_ns: int) -> None:
    async def main() -> None:
        endpoint, clock = Endpoint(), JumpingClock()
        server, port = await serving(endpoint)
        async with server:
            sender = Sender(settings(port, 'minimum_delay = "200ms"'), clock=clock)
            async with sender:
                clock.jumped_ns = jump_ns
                begun_ns = clock.monotonic_ns()
                await sender.accept([event("1", datetime.fromtimestamp(clock.now_ns() / 1e9, UTC))])
                [delivery] = [delivery async for delivery in sender.deliver()]
        assert 199_000_000 <= delivery.attempts[0].started_ns - begun_ns < 30_000_000_000

    run(main)


def test_what_one_sender_could_not_deliver_another_delivers_from_the_same_file(tmp_path: Path) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        endpoint.status = 503
        server, port = await serving(endpoint)
        path, text = tmp_path / "o.sqlite", 'retry = [3600, "1ms"]'
        async with server:
            async with SqliteOutbox(path, source(port, text)) as outbox:
                async with Sender(settings(port, text), outbox=outbox) as first:
                    await first.accept([event("1"), event("2")])

                    async def stop_when_tried() -> None:
                        await endpoint.arrived(2)
                        first.stop()

                    stopping = asyncio.ensure_future(stop_when_tried())
                    ended = [delivery async for delivery in first.deliver()]
                    await stopping
                assert [delivery.outcome for delivery in ended] == [None, None]
                assert (await outbox.counts())["waiting"] == 2
            endpoint.status = 200
            # With other settings: they go on with those.
            now = 'retry = ["1ms", "1ms"]'
            async with SqliteOutbox(path, source(port, now)) as outbox:
                claimed = await outbox.claim(until_ns=2**62, limit=10)
                await outbox.release([entry.id for entry in claimed])
                for entry in claimed:
                    assert entry.attempts == 1
                    assert [attempt.status for attempt in await outbox.log(entry.id)] == [503]
        assert sorted(endpoint.targets) == ["/1", "/2"]

    run(main)


class ForgetfulOutbox(MemoryOutbox):
    """An outbox that can put down so many attempts, and then no more: its disk is full."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> None:
        if self.room == 0:
            raise OutboxError("no space left on device")
        self.room -= 1
        await super().record(entry_id, attempt, due_ns=due_ns, outcome=outcome, reason=reason)


def test_what_cannot_be_put_down_ends_the_sending_with_an_error() -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        outbox = ForgetfulOutbox(room=3)
        ended: list[Delivery] = []

        async def deliver(sender: Sender) -> None:
            async for delivery in sender.deliver():
                ended.append(delivery)  # noqa: PERF401  what ended before the error counts

        async with server, Sender(settings(port), outbox=outbox, concurrency=1) as sender:
            await sender.accept([event(str(number)) for number in range(20)])
            with pytest.raises(OutboxError, match="no space left"):
                await deliver(sender)
        assert [delivery.outcome for delivery in ended if delivery.outcome] == [Delivered()] * 3
        # The one whose attempt could not be put down, and no more.
        assert len(endpoint.targets) == 4
        assert (await outbox.counts())["waiting"] == 17

    run(main)


class SlowOutbox(MemoryOutbox):
    """An outbox whose claims take until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.claiming, self.let_go = asyncio.Event(), asyncio.Event()

    async def claim(self, *, until_ns: int, limit: int) -> list[Entry]:
        claimed = await super().claim(until_ns=until_ns, limit=limit)
        self.claiming.set()
        await self.let_go.wait()
        return claimed


@pytest.mark.parametrize("how", ["stop", "cut"])
def test_what_is_being_claimed_when_it_is_stopped_is_not_sent(how: str) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        outbox = SlowOutbox()
        async with server, Sender(settings(port), outbox=outbox) as sender:
            await sender.accept([event(str(number)) for number in range(50)])

            async def stop_meanwhile() -> None:
                await outbox.claiming.wait()
                getattr(sender, how)()
                outbox.let_go.set()

            stopping = asyncio.ensure_future(stop_meanwhile())
            ended = [delivery async for delivery in sender.deliver()]
            await stopping
        assert [delivery.outcome for delivery in ended] == [None] * 50
        assert endpoint.targets == []
        # Given back: another sender may have them.
        assert len(await outbox.claim(until_ns=2**62, limit=100)) == 50

    run(main)


def test_whoever_leaves_early_can_come_back_for_the_rest() -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        async with server, Sender(settings(port), concurrency=1) as sender:
            await sender.accept([event(str(number)) for number in range(30)])
            first = sender.deliver()
            begun = await anext(first)
            await first.aclose()
            rest = [delivery async for delivery in sender.deliver()]
        assert begun.outcome == Delivered()
        assert set(endpoint.targets) == {f"/{number}" for number in range(30)}
        # At most the request that was cut in flight came twice.
        assert len(endpoint.targets) <= 31
        assert {delivery.outcome for delivery in rest} == {Delivered()}

    run(main)


def test_an_entry_that_can_be_sent_no_more_is_named() -> None:
    async def main() -> None:
        outbox = MemoryOutbox()
        async with Sender(settings(1), outbox=outbox) as sender:
            await sender.accept([event("1")])
        elsewhere = parse_notification(NotificationSource(name="n.toml", text='url = "http://192.0.2.1/"'), {})
        async with Sender(elsewhere, outbox=outbox) as sender:
            with pytest.raises(RenderError, match="entry 1 of the outbox can be sent no more"):
                _ = [delivery async for delivery in sender.deliver()]

    run(main)


def test_many_more_events_than_are_at_hand_are_all_delivered_once() -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        async with server, Sender(settings(port), concurrency=64) as sender:
            # An iterator: it is not held in memory.
            accepted = await sender.accept(event(str(number)) for number in range(2500))
            outcomes = [delivery.outcome async for delivery in sender.deliver()]
        assert accepted == len(outcomes) == len(set(endpoint.targets)) == len(endpoint.targets) == 2500
        assert set(outcomes) == {Delivered()}

    run(main)


@pytest.mark.parametrize("actions", [1, 3])
def test_events_of_an_action_keep_their_order_beyond_what_is_at_hand(actions: int) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        text = 'url = "http://127.0.0.1:{port}/{ActionId}/{Text1}"'.replace("{port}", str(port))
        notification = parse_notification(NotificationSource(name="n.toml", text=text), {})
        now = datetime.now(UTC)
        chosen: Sequence[Event] = [
            Event(kind="action_lifecycle", at=now, values={"ActionId": str(number % actions), "Text1": str(number)})
            for number in range(90)
        ]
        async with server, Sender(notification, concurrency=16) as sender:
            _ = [delivery async for delivery in sender.send(chosen)]
        for action in range(actions):
            numbers = [int(target.split("/")[2]) for target in endpoint.targets if target.startswith(f"/{action}/")]
            assert numbers == sorted(numbers)
            assert len(numbers) == 90 // actions

    run(main)
