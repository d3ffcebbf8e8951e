"""When postbacks leave: after their minimum delay, in their turn, and with the values that the setting says."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from postback_sender import Event, Sender, TargetError
from postback_sender.clock import SystemClock
from sender_endpoint import BUSY, OK, answering, deliveries, event, run, settings, settings_to


class EarlyClock(SystemClock):
    """A clock whose timers fire early, as uvloop's do, and that remembers when it was asked to sleep."""

    async def sleep_until(self, monotonic_ns: int) -> None:
        await super().sleep_until(monotonic_ns - 2_000_000)


@pytest.mark.parametrize("clock", [SystemClock(), EarlyClock()], ids=["on time", "early timers"])
def test_the_minimum_delay_counts_from_the_event_and_is_never_cut_short(clock: SystemClock) -> None:
    async def main() -> None:
        async with answering(OK) as server:
            start, at = asyncio.get_running_loop().time(), datetime.now(UTC)
            events = [event(str(number), at=at) for number in range(20)]
            sender = Sender(settings(server.port, 'minimum_delay = "150ms"'), clock=clock)
            ended = await deliveries(sender, *events)
        # The attempt log and the server agree. The wall clock is read in microseconds.
        assert min(server.arrivals) - start >= 0.1499
        assert min(delivery.attempts[0].started_ns for delivery in ended) / 1e9 - start >= 0.1499

    run(main)


def test_a_delay_that_is_over_already_delays_nothing() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            start = asyncio.get_running_loop().time()
            late = event(at=datetime.now(UTC) - timedelta(minutes=1))
            await deliveries(Sender(settings(server.port, 'minimum_delay = "30s"')), late)
        assert server.arrivals[0] - start < 10

    run(main)


def test_an_event_ahead_of_its_time_waits_for_it() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            start = asyncio.get_running_loop().time()
            await deliveries(Sender(settings(server.port)), event(at=datetime.now(UTC) + timedelta(milliseconds=120)))
        assert server.arrivals[0] - start >= 0.119

    run(main)


LEAPING_FROM = datetime(2026, 5, 11, 12, tzinfo=UTC)


class LeapingClock(SystemClock):
    """A clock that stands still until somebody sleeps, and then leaps to the instant of waking."""

    def __init__(self) -> None:
        self.elapsed_ns = 0

    def now_ns(self) -> int:
        return int(LEAPING_FROM.timestamp()) * 1_000_000_000 + self.elapsed_ns

    def monotonic_ns(self) -> int:
        return self.elapsed_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        self.elapsed_ns = max(self.elapsed_ns, monotonic_ns)


def told(text: str, *, after: int, action: str = "1") -> Event:
    """An event some seconds after the clock begins, whose postback tells a text."""
    values = {"ActionId": action, "Text1": text}
    return Event(kind="action_lifecycle", at=LEAPING_FROM + timedelta(seconds=after), values=values)


NEW_AND_CHANGED = [told("new", after=0), told("changed", after=1)]


@pytest.mark.parametrize(
    ("text", "answers", "events", "at_event", "at_send"),
    [
        pytest.param(
            'minimum_delay = "2s"',
            [OK],
            NEW_AND_CHANGED,
            ["new", "changed"],
            ["changed", "changed"],
            id="delayed while a change happens",
        ),
        pytest.param(
            'minimum_delay = "500ms"',
            [OK],
            NEW_AND_CHANGED,
            ["new", "changed"],
            ["new", "changed"],
            id="gone before the change happens",
        ),
        pytest.param(
            "retry = [10]",
            [BUSY, OK],
            [*NEW_AND_CHANGED, told("final", after=8)],
            ["new", "new", "changed", "final"],
            ["new", "new", "final", "final"],
            id="held back by a retry, which repeats its bytes",
        ),
        pytest.param(
            'maximum_requests = "1/m"\nmaximum_requests_scope = "all"',
            [OK],
            [told("other", after=0, action="2"), *NEW_AND_CHANGED],
            ["other", "new", "changed"],
            ["other", "changed", "changed"],
            id="waiting for its turn",
        ),
        pytest.param(
            'minimum_delay = "2s"\nlevel = "event"',
            [OK],
            NEW_AND_CHANGED,
            ["new"],
            ["changed"],
            id="changed by what event level does not report",
        ),
    ],
)
def test_a_postback_that_had_to_wait_carries_the_values_its_setting_says(
    text: str, answers: list[bytes | None], events: list[Event], at_event: list[str], at_send: list[str]
) -> None:
    async def main() -> None:
        for values_at, expected in (("event", at_event), ("send", at_send)):
            async with answering(*answers) as server:
                table = f'body = \'"{{Text1}}"\'\n{text}\n[template]\nvalues_at = "{values_at}"'
                # One at a time, since the order of those that leave together is open.
                sender = Sender(settings(server.port, table), clock=LeapingClock(), concurrency=1)
                ended = await deliveries(sender, *events)
            sent = [request.rpartition(b"\r\n")[2].decode().strip('"') for request in server.requests]
            assert sent == expected
            # A delivery tells what was really sent.
            assert {delivery.postback.body.decode().strip('"') for delivery in ended} == set(expected)

    run(main)


def test_values_that_a_postback_may_take_up_later_are_checked_before_anything_leaves() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            text = 'level = "event"\n[template]\nvalues_at = "send"'
            sender = Sender(settings_to(f"http://{{Text1}}:{server.port}", text), clock=LeapingClock())
            with pytest.raises(TargetError, match=r"example\.com"):
                await deliveries(sender, told("127.0.0.1", after=0), told("example.com", after=1))
            assert server.requests == []

    run(main)


@pytest.mark.parametrize(("scope", "paced_s"), [("all", 7 / 20), ("resends", 0)])
def test_the_maximum_holds_for_what_its_scope_says(scope: str, paced_s: float) -> None:
    async def main() -> None:
        async with answering(OK) as server:
            text = f'maximum_requests = "20/s"\nmaximum_requests_scope = "{scope}"'
            events = [event(str(number), at=LEAPING_FROM) for number in range(8)]
            ended = await deliveries(Sender(settings(server.port, text), clock=LeapingClock()), *events)
        left_ns = [delivery.attempts[0].started_ns for delivery in ended]
        assert (max(left_ns) - min(left_ns)) / 1e9 == pytest.approx(paced_s, rel=0.01)

    run(main)
