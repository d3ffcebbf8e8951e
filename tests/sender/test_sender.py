"""The sender over real sockets: what leaves, when, and what it makes of the answers."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from postback_sender import Delivery, Event, Notification, NotificationSource, Sender, TargetError, parse_notification
from postback_sender.clock import SystemClock
from postback_sender.delivery.policy import Delivered, GiveUp
from postback_sender.delivery.retry import Failure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Peer:
    """A server that answers the n-th request with the n-th of its answers, and keeps what it got.

    An answer is bytes; an empty one cuts the connection, None keeps silent.
    """

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.arrivals: list[float] = []
        self.arrived = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                self.arrivals.append(asyncio.get_running_loop().time())
                self.requests.append(head + await reader.readexactly(length))
                self.arrived.set()
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if answer is None:
                    await asyncio.sleep(3600)
                elif not answer:
                    break
                else:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The sender has closed its connection.
            return
        finally:
            writer.close()


@asynccontextmanager
async def peer(*answers: bytes | None) -> AsyncGenerator[Peer]:
    one = Peer(list(answers))
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(one.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def settings(url: str, text: str = "") -> Notification:
    return parse_notification(NotificationSource(name="n.toml", text=f'url = "{url}/{{ActionId}}"\n{text}'), {})


def event(name: str = "1", *, at: datetime | None = None) -> Event:
    return Event(kind="action_lifecycle", at=at or datetime.now(UTC), values={"ActionId": name})


async def deliveries(sender: Sender, *events: Event) -> list[Delivery]:
    async with sender:
        return [delivery async for delivery in sender.send(events)]


async def drained(deliveries: AsyncIterator[Delivery]) -> list[Delivery]:
    return [delivery async for delivery in deliveries]


def failures(delivery: Delivery) -> list[Failure | None]:
    return [attempt.failure for attempt in delivery.attempts]


async def no_such_host(host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(f"no such host: {host}")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine; a minute is patience, not a measure."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def test_a_get_carries_just_the_headers_seen_in_production() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            [delivery] = await deliveries(Sender(settings(server.url)), event("7"))
            [request] = server.requests
        assert (
            request
            == (
                f"GET /7 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                "User-Agent: Impact-Postback-Client/1.0\r\nAccept-Encoding: gzip, br\r\n\r\n"
            ).encode()
        )
        assert delivery.outcome == Delivered()

    run(main)


def test_a_post_carries_body_and_headers_as_configured() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            text = 'body = \'{"id": "{ActionId}"}\'\n[headers]\nX-api-KEY = "k"'
            await deliveries(Sender(settings(server.url, text)), event("7"))
            [request] = server.requests
        assert request.startswith(b"POST /7 HTTP/1.1\r\n")
        assert b"\r\nContent-Type: application/json\r\nX-api-KEY: k\r\n" in request
        assert request.endswith(b'\r\n\r\n{"id": "7"}')

    run(main)


def test_a_failed_attempt_is_repeated_byte_for_byte_until_it_succeeds() -> None:
    async def main() -> None:
        async with peer(BUSY, BUSY, OK) as server:
            [delivery] = await deliveries(Sender(settings(server.url, "retry = [0.01, 0.01]")), event())
        assert failures(delivery) == [Failure.ANSWER, Failure.ANSWER, None]
        assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
        assert len(set(server.requests)) == 1

    run(main)


def test_success_can_be_a_matter_of_the_answers_text() -> None:
    async def main() -> None:
        text = 'retry = "none"\nsuccess_response = "DONE"'
        async with peer(OK) as server:
            [delivery] = await deliveries(Sender(settings(server.url, text)), event())
        assert failures(delivery) == [Failure.ANSWER]
        assert isinstance(delivery.outcome, GiveUp)

    run(main)


@pytest.mark.parametrize(
    ("answer", "failure", "status"),
    [
        pytest.param(b"", Failure.CONNECTION, None, id="cut before the answer"),
        pytest.param(b"nonsense\r\n\r\n", Failure.BROKEN_ANSWER, None, id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", Failure.TIMEOUT, 200, id="body never ends"),
        pytest.param(None, Failure.TIMEOUT, None, id="silence"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Failure.BROKEN_ANSWER,
            200,
            id="bad chunk",
        ),
    ],
)
def test_what_is_no_answer_has_a_name(answer: bytes | None, failure: Failure, status: int | None) -> None:
    async def main() -> None:
        async with peer(answer) as server:
            [delivery] = await deliveries(Sender(settings(server.url, 'retry = "none"\ntimeout = "200ms"')), event())
        assert failures(delivery) == [failure]
        assert delivery.attempts[0].status == status

    run(main)


def test_a_refused_connection_is_retried_as_the_profile_says() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        [delivery] = await deliveries(Sender(settings(f"http://127.0.0.1:{port}", "retry = [0.01]")), event())
        assert failures(delivery) == [Failure.CONNECTION, Failure.CONNECTION]

    run(main)


def test_a_host_that_does_not_exist_is_not_tried_again_by_the_help_centre_profile() -> None:
    async def main() -> None:
        sender = Sender(settings("http://nowhere.invalid"), allowed_hosts=["nowhere.invalid"], resolve=no_such_host)
        [delivery] = await deliveries(sender, event())
        assert failures(delivery) == [Failure.HOST_NOT_FOUND]

    run(main)


def test_redirects_are_reported_and_not_followed() -> None:
    async def main() -> None:
        async with peer(OK) as elsewhere:
            answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n".encode()
            async with peer(answer) as server:
                [delivery] = await deliveries(Sender(settings(server.url, 'retry = "none"')), event())
            assert elsewhere.requests == []
        assert delivery.attempts[0].status == 302
        assert "not followed" in delivery.attempts[0].detail

    run(main)


def test_a_broken_kept_alive_connection_leads_to_no_hidden_second_send() -> None:
    async def main() -> None:
        # HTTP clients repeat a GET by themselves when a reused connection breaks; the log would show one for two.
        async with peer(OK, b"", OK) as server:
            sender = Sender(settings(server.url, 'retry = "none"'), concurrency=1)
            first, second = await deliveries(sender, event("1"), event("2"))
        assert len(server.requests) == 2
        assert {tuple(failures(first)), tuple(failures(second))} == {(None,), (Failure.CONNECTION,)}

    run(main)


def test_nothing_leaves_when_one_target_of_a_batch_is_not_allowed() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            with pytest.raises(TargetError, match=r"example\.com"):
                await deliveries(Sender(settings("http://{Text1}{ActionId}.example.com")), event())
            assert server.requests == []

    run(main)


def test_events_of_one_action_keep_their_order_even_when_the_first_is_retried() -> None:
    async def main() -> None:
        async with peer(BUSY, OK) as server:
            text = "body = '{Text1}'\nretry = [0.05]"
            events = [
                Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": "1", "Text1": name})
                for name in ("first", "second", "third")
            ]
            await deliveries(Sender(settings(server.url, text)), *events)
        assert [request.rpartition(b"\r\n")[2].strip(b'"') for request in server.requests] == [
            *(b"first", b"first", b"second", b"third")
        ]

    run(main)


class EarlyClock(SystemClock):
    """A clock whose timers fire early, as uvloop's do, and that remembers when it was asked to sleep."""

    async def sleep_until(self, monotonic_ns: int) -> None:
        await super().sleep_until(monotonic_ns - 2_000_000)


@pytest.mark.parametrize("clock", [SystemClock(), EarlyClock()], ids=["on time", "early timers"])
def test_the_minimum_delay_counts_from_the_event_and_is_never_cut_short(clock: SystemClock) -> None:
    async def main() -> None:
        async with peer(OK) as server:
            at, start = datetime.now(UTC), asyncio.get_running_loop().time()
            events = [event(str(number), at=at) for number in range(20)]
            sender = Sender(settings(server.url, 'minimum_delay = "150ms"'), clock=clock)
            ended = await deliveries(sender, *events)
        # The attempt log and the server agree. A wall clock in microseconds was read a moment before the loop's.
        assert min(server.arrivals) - start >= 0.1499
        assert min(delivery.attempts[0].started_ns for delivery in ended) / 1e9 - start >= 0.1499

    run(main)


def test_a_delay_that_is_over_already_delays_nothing() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            start = asyncio.get_running_loop().time()
            late = event(at=datetime.now(UTC) - timedelta(minutes=1))
            await deliveries(Sender(settings(server.url, 'minimum_delay = "30s"')), late)
        assert server.arrivals[0] - start < 10

    run(main)


def test_an_event_ahead_of_its_time_waits_for_it() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            start = asyncio.get_running_loop().time()
            await deliveries(Sender(settings(server.url)), event(at=datetime.now(UTC) + timedelta(milliseconds=120)))
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
            async with peer(*answers) as server:
                table = f'body = \'"{{Text1}}"\'\n{text}\n[template]\nvalues_at = "{values_at}"'
                # One at a time, since the order of those that leave together is open.
                sender = Sender(settings(server.url, table), clock=LeapingClock(), concurrency=1)
                ended = await deliveries(sender, *events)
            sent = [request.rpartition(b"\r\n")[2].decode().strip('"') for request in server.requests]
            assert sent == expected
            # A delivery tells what was really sent.
            assert {delivery.postback.body.decode().strip('"') for delivery in ended} == set(expected)

    run(main)


def test_values_that_a_postback_may_take_up_later_are_checked_before_anything_leaves() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            text = 'level = "event"\n[template]\nvalues_at = "send"'
            sender = Sender(settings(f"http://{{Text1}}:{server.port}", text), clock=LeapingClock())
            with pytest.raises(TargetError, match=r"example\.com"):
                await deliveries(sender, told("127.0.0.1", after=0), told("example.com", after=1))
            assert server.requests == []

    run(main)


@pytest.mark.parametrize(("scope", "first_sends_are_slow"), [("all", True), ("resends", False)])
def test_the_maximum_holds_for_what_its_scope_says(scope: str, *, first_sends_are_slow: bool) -> None:
    async def main() -> None:
        async with peer(OK) as server:
            text = f'maximum_requests = "20/s"\nmaximum_requests_scope = "{scope}"'
            await deliveries(Sender(settings(server.url, text)), *(event(str(number)) for number in range(8)))
        spread = server.arrivals[-1] - server.arrivals[0]
        assert (spread > 7 / 20 * 0.9) == first_sends_are_slow

    run(main)


def test_stop_finishes_what_is_in_flight_and_sends_nothing_more() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            sender = Sender(settings(server.url, 'maximum_requests = "5/s"\nmaximum_requests_scope = "all"'))
            ended: list[Delivery] = []
            async with sender:
                async for delivery in sender.send([event(str(number)) for number in range(30)]):
                    ended.append(delivery)
                    sender.stop()
                left = [delivery async for delivery in sender.undelivered()]
        assert {delivery.outcome for delivery in ended} == {Delivered()}
        assert len(ended) == len(server.requests) < 5
        assert len(ended) + len(left) == 30
        assert {(delivery.outcome, delivery.attempts) for delivery in left} == {(None, ())}
        keys = [delivery.postback.key for delivery in left]
        assert keys == sorted(keys, key=int)

    run(main)


def test_an_attempt_that_fails_after_stop_is_not_repeated() -> None:
    async def main() -> None:
        async with peer(BUSY) as server:
            sender = Sender(
                settings(server.url, "retry = [0, 0, 0]"), on_attempt=lambda _postback, _attempt, _step: sender.stop()
            )
            async with sender:
                assert [delivery async for delivery in sender.send([event()])] == []
                [delivery] = [delivery async for delivery in sender.undelivered()]
        assert len(server.requests) == 1
        assert (delivery.outcome, failures(delivery)) == (None, [Failure.ANSWER])

    run(main)


def test_resends_that_wait_for_their_turn_keep_no_first_send_from_leaving() -> None:
    async def main() -> None:
        async with peer(BUSY) as server:
            text = 'retry = [0.01]\nmaximum_requests = "1/m"'
            arrived = asyncio.Event()
            sender = Sender(
                settings(server.url, text),
                concurrency=2,
                on_attempt=lambda postback, _attempt, _step: arrived.set() if postback.key == "last" else None,
            )
            late = event("last", at=datetime.now(UTC) + timedelta(milliseconds=300))
            async with sender:
                sending = asyncio.ensure_future(drained(sender.send([*(event(str(n)) for n in range(6)), late])))
                # One resend has the turn of this minute; five wait for theirs, and would hold every place.
                await asyncio.wait_for(arrived.wait(), 20)
                sender.stop()
                await sending

    run(main)


def test_a_header_of_the_partner_replaces_ours() -> None:
    async def main() -> None:
        async with peer(OK) as server:
            text = 'body = \'x\'\n[headers]\ncontent-type = "text/xml"\nUser-Agent = "mine"'
            await deliveries(Sender(settings(server.url, text)), event())
            [request] = server.requests
        assert request.lower().count(b"content-type:") == request.lower().count(b"user-agent:") == 1
        assert b"content-type: text/xml\r\nUser-Agent: mine\r\n" in request

    run(main)


def test_a_sender_outside_its_block_says_how_to_use_it() -> None:
    async def main() -> None:
        sender = Sender(settings("http://127.0.0.1:1"))
        with pytest.raises(RuntimeError, match="async with"):
            async for _ in sender.send([event()]):
                pass

    run(main)


def test_cut_ends_what_is_in_flight_at_once() -> None:
    async def main() -> None:
        async with peer(None) as server:
            sender = Sender(settings(server.url, "timeout = 3600"))

            async def cut_when_it_has_arrived() -> None:
                await server.arrived.wait()
                sender.cut()

            cutting = asyncio.ensure_future(cut_when_it_has_arrived())
            async with sender:
                assert [delivery async for delivery in sender.send([event()])] == []
                [delivery] = [delivery async for delivery in sender.undelivered()]
            await cutting
        assert delivery.outcome is None
        # The endpoint may have it: the log says so.
        assert [attempt.failure for attempt in delivery.attempts] == [Failure.CUT_OFF]

    run(main)
