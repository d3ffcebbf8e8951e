"""The sender and its outbox: what was accepted is delivered once, whatever clocks, disks and endpoints do."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postback_sender import Delivery, NotificationSource, Sender, parse_notification
from postback_sender.clock import SystemClock
from postback_sender.delivery.policy import Delivered, GiveUp
from postback_sender.delivery.retry import Failure
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt, Outcome
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from sender_endpoint import Endpoint, event, run, serving, settings, source

HOUR_NS = 3600 * 1_000_000_000


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


@pytest.mark.parametrize(
    ("text", "bad_name", "reason"),
    [
        ('url = "http://{ActionId}:PORT/"', "bad", "the target host bad is not this machine"),
        (
            'url = "http://127.0.0.1:PORT/"\nmethod = "POST"\nbody_format = "xml"\nbody = "<a>{ActionId}</a>"',
            "nul\0",
            "ActionId",
        ),
    ],
    ids=["a host that is not allowed", "a character that XML cannot have"],
)
def test_an_entry_that_can_be_sent_no_more_is_given_up_with_the_reason_and_the_others_go_on(
    text: str, bad_name: str, reason: str
) -> None:
    """The settings have changed since it was accepted."""

    async def main() -> None:
        endpoint, outbox = Endpoint(), MemoryOutbox()
        server, port = await serving(endpoint)
        names = ["127.0.0.1", bad_name, "127.0.0.1"]
        await outbox.add([Draft(event=event(name), key=name, due_ns=0) for name in names])
        now = parse_notification(NotificationSource(name="n.toml", text=text.replace("PORT", str(port))), {})
        async with server, Sender(now, outbox=outbox) as sender:
            ended = {delivery.postback.key: delivery async for delivery in sender.deliver()}
        assert len(endpoint.targets) == 2
        assert ended["127.0.0.1"].outcome == Delivered()
        bad = ended[bad_name]
        assert isinstance(bad.outcome, GiveUp)
        assert reason in bad.outcome.reason
        assert (bad.postback.url, bad.attempts) == ("", ())
        assert (await outbox.counts())["given up"] == 1

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
