"""What the cases about time ask of an endpoint, and what they do not hold against it."""

from collections.abc import Mapping
from typing import Any

import pytest

from partner_endpoint import Partner, Refused, conform
from postback_conformance.suite.latency import slow_neighbours


@pytest.mark.parametrize("body", [0, 5, 20, 21, 39, 300, 65_536])
def test_a_request_that_is_sent_slowly_is_whole_long_before_a_short_time_out_of_the_settings(body: int) -> None:
    data = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * body
    fault = slow_neighbours(data, patience_ns=900_000_000)
    pieces = -(-(len(data) - fault.after) // fault.piece)
    assert 0 < pieces * fault.pause_ns <= 450_000_000
    assert slow_neighbours(data, patience_ns=60_000_000_000).pause_ns == 50_000_000


class IsLateATime(Partner):
    """Takes two seconds and more for one answer of a trial, in so many trials."""

    def __init__(self, trials: int) -> None:
        super().__init__()
        self.trials = trials

    async def record(self, values: Mapping[str, Any]) -> None:
        await super().record(values)
        # One answers that the endpoint is there, and ten make a trial.
        number, rest = divmod(len(self.ledger.moves), 10)
        if rest == 5 and number < self.trials:
            self.clock.let_pass(2.1)


@pytest.mark.parametrize(("trials", "outcome"), [(1, "pass"), (2, "pass"), (3, "fail")])
def test_only_who_is_late_each_time_is_blamed_since_a_machine_may_stand_still(trials: int, outcome: str) -> None:
    (found,) = conform(IsLateATime(trials), only=("latency.budget",), probe=False)
    assert found.outcome == outcome, found.message


class IsBusyOnce(Partner):
    asked = 0

    def checked(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked += 1
        if self.asked == 5:
            self.clock.let_pass(2.1)
            raise Refused(503, "later")
        return super().checked(values)


def test_a_refusal_is_told_however_late_it_comes() -> None:
    (found,) = conform(IsBusyOnce(), only=("latency.budget",), probe=False)
    assert found.message == "a postback was not accepted: answered 503"
