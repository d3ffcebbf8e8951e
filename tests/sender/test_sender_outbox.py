"""The sender and its outbox: what was accepted is delivered once, whatever clocks, disks and endpoints do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_sender import Delivery, Event, Notification, NotificationSource, Sender, parse_notification
from postback_sender.clock import SystemClock
from postback_sender.delivery.policy import Delivered, GiveUp
from postback_sender.delivery.retry import Failure
from postback_sender.errors import RenderError, TargetError
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt, Outcome
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from postback_sender.quantities import Rate

HOUR_NS = 3600 * 1_000_000_000


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


class Endpoint:
    """A server that answers with a status and keeps what arrives, by target, and when."""

    def __init__(self) -> None:
        self.status = 200
        self.closes = False
        self.targets: list[str] = []
        self.arrivals: list[float] = []
        self._arrivals = asyncio.Condition()

    async def arrived(self, count: int) -> None:
        async with self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.targets) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.arrivals.append(asyncio.get_running_loop().time())
                async with self._arrivals:
                    self.targets.append(head.split(b" ")[1].decode())
                    self._arrivals.notify_all()
                connection = "close" if self.closes else "keep-alive"
                answer = f"HTTP/1.1 {self.status} X\r\nConnection: {connection}\r\nContent-Length: 0\r\n\r\n"
                writer.write(answer.encode())
                if self.closes:
                    break
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
                    assert [delivery async for delivery in first.deliver()] == []
                    await stopping
                    left = [delivery async for delivery in first.undelivered()]
                assert [[attempt.status for attempt in delivery.attempts] for delivery in left] == [[503], [503]]
                assert (await outbox.counts())["waiting"] == 2
            endpoint.status = 200
            # With other settings: they go on with those.
            now = 'retry = ["1ms", "1ms"]'
            async with SqliteOutbox(path, source(port, now)) as outbox:
                claimed = await outbox.claim(until_ns=2**62, limit=10, resends=True)
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
    ) -> bool:
        if self.room == 0:
            raise OutboxError("no space left on device")
        self.room -= 1
        return await super().record(entry_id, attempt, due_ns=due_ns, outcome=outcome, reason=reason)


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

    async def claim(self, *, until_ns: int, limit: int, resends: bool) -> list[Entry]:
        claimed = await super().claim(until_ns=until_ns, limit=limit, resends=resends)
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
            assert [delivery async for delivery in sender.deliver()] == []
            await stopping
            assert len([delivery async for delivery in sender.undelivered()]) == 50
        assert endpoint.targets == []
        # Given back: another sender may have them.
        assert len(await outbox.claim(until_ns=2**62, limit=100, resends=False)) == 50

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


def test_a_sender_goes_on_with_what_it_accepts_later() -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        async with server, Sender(settings(port)) as sender:
            for name in ("1", "2"):
                await sender.accept([event(name)])
                assert [delivery.outcome async for delivery in sender.deliver()] == [Delivered()]
            sender.stop()
            await sender.accept([event("3")])
            assert [delivery async for delivery in sender.deliver()] == []
        assert endpoint.targets == ["/1", "/2"]

    run(main)


def test_what_is_accepted_while_others_are_delivered_is_delivered_with_them() -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        async with server, Sender(settings(port, "retry = [0.05]")) as sender:
            endpoint.status = 503
            await sender.accept([event("1")])
            deliveries = sender.deliver()
            first = asyncio.ensure_future(anext(deliveries))
            await endpoint.arrived(1)
            endpoint.status = 200
            await sender.accept([event(str(number)) for number in range(2, 1500)])
            ended = [await first, *[delivery async for delivery in deliveries]]
        assert len(ended) == len(set(endpoint.targets)) == 1499

    run(main)


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    one: Outbox = MemoryOutbox() if request.param == "memory" else SqliteOutbox(tmp_path / "o.sqlite", source(1))
    yield one
    one.close()


def test_a_bad_event_late_in_an_iterator_leaves_nothing_behind(outbox: Outbox) -> None:
    """It has been longer than what is accepted at a time since long ago; what is accepted next has ids of its own."""

    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        bad = Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": "x", "Text1": "192.0.2.1"})
        notification = settings_with_host(port)

        def events() -> Iterator[Event]:
            yield from (good_event(str(number)) for number in range(2500))
            yield bad

        async with server, Sender(notification, outbox=outbox) as sender:
            await sender.accept([good_event("before")])
            with pytest.raises(TargetError, match=r"192\.0\.2\.1"):
                await sender.accept(events())
            assert (await outbox.counts())["waiting"] == 1
            await sender.accept([good_event("after")])
            ended = [delivery async for delivery in sender.deliver()]
        assert sorted(endpoint.targets) == ["/after", "/before"]
        assert len(ended) == 2

    run(main)


def test_accepting_that_is_cancelled_leaves_nothing_behind(outbox: Outbox) -> None:
    """Not even for the next to publish."""

    async def main() -> None:
        accepted = 0
        async with Sender(settings(1), outbox=outbox) as sender:
            for pauses in range(6):
                accepting = asyncio.ensure_future(sender.accept(event(str(number)) for number in range(2500)))
                for _ in range(pauses):
                    await asyncio.sleep(0)
                # An outbox in memory is done at once, and lets nobody interrupt it.
                accepting.cancel()
                [outcome] = await asyncio.gather(accepting, return_exceptions=True)
                accepted += outcome if isinstance(outcome, int) else 0
                assert (await outbox.counts())["waiting"] == accepted
            await sender.accept(event(str(number)) for number in range(1001))
            assert (await outbox.counts())["waiting"] == accepted + 1001

    run(main)


def settings_with_host(port: int) -> Notification:
    text = f'url = "http://{{Text1}}:{port}/{{ActionId}}"'
    return parse_notification(NotificationSource(name="n.toml", text=text), {})


def good_event(name: str) -> Event:
    return Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": name, "Text1": "127.0.0.1"})


class LateAnswer(MemoryOutbox):
    """An outbox that says what is due, and is heard only after the attempt that was under way is put down."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = asyncio.Event()

    async def record(
        self,
        entry_id: int,
        attempt: LoggedAttempt | None,
        *,
        due_ns: int | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
    ) -> bool:
        is_news = await super().record(entry_id, attempt, due_ns=due_ns, outcome=outcome, reason=reason)
        self.recorded.set()
        return is_news

    async def next_due_ns(self, *, resends: bool) -> int | None:
        due_ns = await super().next_due_ns(resends=resends)
        if await self.waiting(after_id=0, limit=1) and not resends:
            await self.recorded.wait()
            # Until the worker has come to rest.
            for _ in range(10):
                await asyncio.sleep(0)
        return due_ns


@pytest.mark.parametrize("keys", [("1",), ("1", "1")], ids=["a resend", "the next of its key"])
def test_what_becomes_due_while_the_outbox_is_asked_is_not_forgotten(keys: Sequence[str]) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        endpoint.status = 503 if len(keys) == 1 else 200
        server, port = await serving(endpoint)
        outbox = LateAnswer()
        async with server, Sender(settings(port, 'retry = ["20ms"]'), outbox=outbox) as sender:
            await sender.accept([event(key) for key in keys])
            ended = [delivery async for delivery in sender.deliver()]
        assert len(endpoint.targets) == 2
        assert len(ended) == len(keys)

    run(main)


def test_very_many_resends_under_a_limit_keep_no_first_send_from_leaving() -> None:
    async def main() -> None:
        endpoint, outbox = Endpoint(), MemoryOutbox()
        server, port = await serving(endpoint)
        drafts = [Draft(event=event(f"old-{number}"), key="", due_ns=0) for number in range(3000)]
        await outbox.add(drafts)
        failed = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure="no connection")
        for entry in await outbox.claim(until_ns=1, limit=3000, resends=False):
            await outbox.record(entry.id, failed, due_ns=0)
        text = 'maximum_requests = "5/s"\nmaximum_requests_scope = "resends"\nretry = [0, 0]'
        async with server, Sender(settings(port, text), outbox=outbox, concurrency=4) as sender:
            await sender.accept([event(f"new-{number}") for number in range(100)])
            begun = asyncio.get_running_loop().time()
            ended = 0
            async for delivery in sender.deliver():
                ended += delivery.postback.key.startswith("new")
                if ended == 100:
                    sender.stop()
            took = asyncio.get_running_loop().time() - begun
        old = [target for target in endpoint.targets if target.startswith("/old")]
        assert len(old) <= 1 + took * 5
        assert (await outbox.counts())["delivered"] == 100 + len(old)

    run(main)


def limited_settings(port: int, rate: Rate, *, scope: str) -> Notification:
    """Settings with a window that is too short to be written, and short enough for a test."""
    text = f'maximum_requests = "1/s"\nmaximum_requests_scope = "{scope}"\nretry = [0, 0]'
    return replace(settings(port, text), maximum_requests=rate)


def most_in_a_window(arrivals: Sequence[float], window_s: float) -> int:
    return max(sum(begin <= one < begin + window_s for one in arrivals) for begin in arrivals)


@pytest.mark.parametrize("scope", ["all", "resends"])
def test_connections_that_take_their_time_bunch_no_requests(scope: str) -> None:
    """By the stamps of the server: what has its turn leaves at once, over a connection that is ready."""

    async def main() -> None:
        endpoint = Endpoint()
        endpoint.closes = True
        server, port = await serving(endpoint)
        outbox = MemoryOutbox()
        took = cycle([0.0, 0.1, 0.02, 0.15, 0.0, 0.05])

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            await asyncio.sleep(next(took))
            return ["127.0.0.1"]

        await outbox.add([Draft(event=event(str(number)), key="", due_ns=0) for number in range(50)])
        if scope == "resends":
            failed = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure="no connection")
            for entry in await outbox.claim(until_ns=1, limit=50, resends=False):
                await outbox.record(entry.id, failed, due_ns=0)
        limited = limited_settings(port, Rate(count=10, window_ns=200_000_000), scope=scope)
        async with server, Sender(limited, outbox=outbox, resolve=resolve) as sender:
            async for _ in sender.deliver():
                if len(endpoint.arrivals) >= (20 if scope == "resends" else 40):
                    sender.stop()
        # A window as long as the limit's, less what the way to the server and the machine may take.
        assert most_in_a_window(endpoint.arrivals, 0.18) <= 10

    run(main)


def test_a_limit_holds_across_a_restart_with_the_same_file(tmp_path: Path) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        server, port = await serving(endpoint)
        limited = limited_settings(port, Rate(count=3, window_ns=400_000_000), scope="all")
        async with server:
            for life in range(2):
                async with SqliteOutbox(tmp_path / "o.sqlite", source(port)) as outbox:
                    assert (outbox.last_used_ns is None) == (life == 0)
                    async with Sender(limited, outbox=outbox) as sender:
                        await sender.accept([event(f"{life}-{number}") for number in range(3)])
                        _ = [delivery async for delivery in sender.deliver()]
        assert len(endpoint.targets) == 6
        assert most_in_a_window(endpoint.arrivals, 0.38) <= 3

    run(main)


def test_what_was_tried_more_often_than_the_settings_allow_now_is_given_up() -> None:
    async def main() -> None:
        endpoint, outbox = Endpoint(), MemoryOutbox()
        server, port = await serving(endpoint)
        await outbox.add([Draft(event=event(name), key="k", due_ns=0) for name in ("1", "2")])
        await outbox.claim(until_ns=1, limit=1, resends=False)
        failed = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=2, failure="no connection")
        await outbox.record(1, failed, due_ns=0)
        async with server, Sender(settings(port, 'retry = "none"'), outbox=outbox) as sender:
            first, second = [delivery async for delivery in sender.deliver()]
        assert isinstance(first.outcome, GiveUp)
        assert "1 attempt made: the retry profile none allows no more" in first.outcome.reason
        assert [attempt.failure for attempt in first.attempts] == [Failure.CONNECTION]
        assert (second.outcome, endpoint.targets) == (Delivered(), ["/2"])

    run(main)


def test_an_attempt_that_found_no_connection_took_as_long_as_we_tried() -> None:
    async def main() -> None:
        async def never(_host: str, _port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return []

        for scope in ("all", "resends"):
            text = f'timeout = "50ms"\nretry = "none"\nmaximum_requests = "9/s"\nmaximum_requests_scope = "{scope}"'
            async with Sender(settings(1, text), resolve=never) as sender:
                await sender.accept([event("1"), event("2")])
                for attempt in [(delivery.attempts)[0] async for delivery in sender.deliver()]:
                    assert attempt.failure is Failure.TIMEOUT
                    assert attempt.finished_ns - attempt.started_ns >= 49_000_000

    run(main)
