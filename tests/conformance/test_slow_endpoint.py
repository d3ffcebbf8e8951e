"""An endpoint that is slow throughout is told at once: trying it again would take as long again, and tell the same."""

from collections.abc import Mapping
from typing import Any

import pytest

from partner_endpoint import Partner, conform


class IsLateWith(Partner):
    """Takes more than two seconds for so many of ten answers."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self.late = late

    async def record(self, values: Mapping[str, Any]) -> None:
        await super().record(values)
        # The first answers that the endpoint is there.
        if (len(self.ledger.moves) - 2) % 10 < self.late:
            self.clock.let_pass(2.1)


@pytest.mark.parametrize(("late", "trials"), [(10, 1), (6, 1), (5, 3)])
def test_who_is_late_with_most_answers_is_tried_once(late: int, trials: int) -> None:
    partner = IsLateWith(late)
    (found,) = conform(partner, only=("latency.budget",), probe=False)
    assert found.outcome == "fail", found.message
    assert len(partner.ledger.moves) // 10 == trials
