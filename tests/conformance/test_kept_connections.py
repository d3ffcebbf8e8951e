"""Endpoints that close connections which nobody told them to keep: that is their right, unless they lose postbacks."""

import asyncio

import pytest

from hand_made_endpoint import HandMade
from partner_endpoint import conform


class ClosesAfterEachAnswer(HandMade):
    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.exchange(reader, writer)


class ClosesWhenSomebodyAsks(HandMade):
    """As a server does whose patience ends while a request is on its way: a few times, then it keeps what is open."""

    crossings = 2

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self.exchange(reader, writer) and not self.crossings:
            pass
        if self.crossings and await reader.read(1):
            self.crossings -= 1
            writer.transport.abort()


class AnswersNobodyAfterwards(ClosesWhenSomebodyAsks):
    """Whoever asks again meanwhile is not answered, either."""

    async def served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.crossings != 1:
            return await super().served(reader, writer)
        self.crossings = 0
        return writer.transport.abort()


@pytest.mark.parametrize("partner", [ClosesAfterEachAnswer, ClosesWhenSomebodyAsks])
def test_an_endpoint_that_closes_a_connection_while_it_is_idle_is_blamed_for_nothing(partner: type[HandMade]) -> None:
    only = ("accepts.[acdk]*", "latency.burst", "state.duplicate", "state.accepted-then-lost", "recovery.resend")
    verdicts = conform(partner(), only=only)
    assert [one.message for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []


@pytest.mark.parametrize("case", ["accepts.all-kinds", "accepts.keep-alive"])
def test_an_endpoint_that_loses_what_comes_again_on_a_new_connection_is_blamed(case: str) -> None:
    (found,) = conform(AnswersNobodyAfterwards(), only=(case,), probe=False)
    assert (found.outcome, "not accepted: no connection" in found.message) == ("fail", True), found
