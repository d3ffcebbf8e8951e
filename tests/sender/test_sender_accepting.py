"""What a sender accepts, before and while it delivers: all or none, in its order, and none is forgotten."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postback_sender import Event, Notification, NotificationSource, Sender, parse_notification
from postback_sender.delivery.policy import Delivered
from postback_sender.errors import TargetError
from postback_sender.outbox.entry import LoggedAttempt, Outcome
from postback_sender.outbox.memory_outbox import MemoryOutbox
from postback_sender.outbox.outbox import Outbox
from postback_sender.outbox.sqlite_outbox import SqliteOutbox
from sender_endpoint import Endpoint, event, run, serving, settings, source


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
