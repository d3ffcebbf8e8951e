"""The endpoint on a bench, as the ledger's model wants to see it."""

from collections.abc import Callable, Sequence

from postback_conformance.ledger.comparing import Record
from postback_conformance.ledger.play import Reply
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.probe import Recorded
from postback_conformance.suite.sent import Sent
from postback_sender.event import Event


class BenchPartner:
    """Sends through the real sender, and through the proxy where an answer is to get lost.

    `captures` are the ids of the requests it made, in their order.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.captures: list[str] = []

    async def send(self, event: Event, *, lost: bool = False, at_once: int = 1) -> Sequence[Reply]:
        """Send the postback of an event; see `Partner`."""
        events = [event] * at_once
        if lost:
            sent = await self._bench.send_and_lose_the_answer(events)
        else:
            sent = await self._bench.send(events, concurrency=at_once)
        return [self._reply(one) for one in sent]

    async def recorded(self, action_id: str, wanted: Callable[[Record | None], bool]) -> Recorded | None:
        """Return what the probe tells; raises `ProbeError`."""
        return await self._bench.recorded(action_id, wanted=wanted)

    async def restart(self) -> None:
        """Start the endpoint anew."""
        await self._bench.restart()

    def _reply(self, sent: Sent) -> Reply:
        self.captures += sent.captures
        return Reply(sent.accepted, sent.told)
