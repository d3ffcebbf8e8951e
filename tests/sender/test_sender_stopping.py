"""Stopping a sender: what is in flight ends as it should, and what waits stays where it is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from postback_sender import Delivery, Sender
from postback_sender.delivery.policy import Delivered
from postback_sender.delivery.retry import Failure
from sender_endpoint import BUSY, OK, answering, event, failures, run, settings


async def drained(deliveries: AsyncIterator[Delivery]) -> list[Delivery]:
    return [delivery async for delivery in deliveries]


def test_stop_finishes_what_is_in_flight_and_sends_nothing_more() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            sender = Sender(settings(server.port), concurrency=2)
            # While the answer is still to come; another request may be on its way.
            server.on_request = sender.stop
            async with sender:
                ended = await drained(sender.send([event(str(number)) for number in range(30)]))
                left = await drained(sender.undelivered())
        assert {delivery.outcome for delivery in ended} == {Delivered()}
        assert 1 <= len(ended) == len(server.requests) <= 2
        assert len(ended) + len(left) == 30
        assert {(delivery.outcome, delivery.attempts) for delivery in left} == {(None, ())}
        keys = [delivery.postback.key for delivery in left]
        assert keys == sorted(keys, key=int)

    run(main)


def test_an_attempt_that_fails_after_stop_is_not_repeated() -> None:
    async def main() -> None:
        async with answering(BUSY) as server:
            sender = Sender(
                settings(server.port, "retry = [0, 0, 0]"), on_attempt=lambda _postback, _attempt, _step: sender.stop()
            )
            async with sender:
                assert await drained(sender.send([event()])) == []
                [delivery] = await drained(sender.undelivered())
        assert len(server.requests) == 1
        assert (delivery.outcome, failures(delivery)) == (None, [Failure.ANSWER])

    run(main)


def test_resends_that_wait_for_their_turn_keep_no_first_send_from_leaving() -> None:
    async def main() -> None:
        async with answering(BUSY) as server:
            text = 'retry = [0.01]\nmaximum_requests = "1/m"'
            arrived = asyncio.Event()
            sender = Sender(
                settings(server.port, text),
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


def test_cut_ends_what_is_in_flight_at_once() -> None:
    async def main() -> None:
        async with answering(None) as server:
            sender = Sender(settings(server.port, "timeout = 3600"))
            server.on_request = sender.cut
            async with sender:
                assert await drained(sender.send([event()])) == []
                [delivery] = await drained(sender.undelivered())
        assert delivery.outcome is None
        # The endpoint may have it: the log says so.
        assert failures(delivery) == [Failure.CUT_OFF]

    run(main)
