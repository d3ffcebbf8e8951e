"""Scenarios in short: how the tests write, read and play one."""

from datetime import UTC, datetime
from typing import Final

from postback_conformance.scenario import PlannedSend, Scenario, plan, read_scenario

STARTED_AT: Final = datetime(2026, 5, 11, 0, 7, 27, 500_000, tzinfo=UTC)
ORDER: Final = """
[actions.shoes]
payout = "8.40"
amount = "84.00"
"""


def step(do: str, action: str = "shoes", **keys: str | int) -> str:
    given = {"do": do, "action": action, **keys}
    return "[[step]]\n" + "".join(f"{key} = {value!r}\n" for key, value in given.items())


def read(text: str) -> Scenario:
    return read_scenario(text, name="s.toml")


def played(text: str, *, seed: int = 7) -> list[PlannedSend]:
    return list(plan(read(text), started_at=STARTED_AT, seed=seed))
