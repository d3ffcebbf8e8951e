"""The machine finds what is wrong with a ledger, and a short way there; here without a network."""

import re
from collections.abc import Coroutine
from itertools import count
from typing import Any, TypeVar, cast

import pytest

from ledgers import SETTINGS, AddsDeltas, AddsEverything, Books, FirstWins, LastWins, Ledger, WipesTexts, settings
from postback_conformance.ledger.machine import Ground, search
from postback_conformance.ledger.play import LedgerError
from postback_conformance.ledger.shortening import shorten
from postback_conformance.ledger.step import Restart, Send
from postback_conformance.ledger.story import told
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.endpoint import Endpoint

T = TypeVar("T")

WITH_TEXTS = settings(SETTINGS.replace("}'''", ', "currency": "{Currency}", "sub_id1": "{SubId1}"}\'\'\''))
BENCH = Bench(Endpoint(url="http://127.0.0.1:9/"), WITH_TEXTS)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run what waits for nothing, since no network is there."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits for something")


def shortest(partner: Books, *, max_examples: int = 30) -> LedgerError | None:
    """Return the shortest way to a wrong ledger that is found."""

    def wait(work: Coroutine[Any, Any, None]) -> None:
        run(work)

    # In steps rather than seconds, so that it is the same everywhere.
    shrinking = count()
    ground = Ground(
        notification=BENCH.notification,
        partner=partner,
        conversion=BENCH.conversion,
        started_at=BENCH.started_at,
        wait=wait,
        is_over=lambda is_found: is_found and next(shrinking) > 1000,
        restarts=True,
    )
    found = search(ground, seed_number=1, max_examples=max_examples, step_count=10).shortest
    if found is None:
        return None
    work = shorten(BENCH.notification, partner, found, fresh_id, is_over=lambda: False)
    return run(work).error


def fresh_id(old: str) -> str:
    return f"{old.rpartition('.')[0]}.{BENCH.fresh_sequence()}"


@pytest.mark.parametrize(
    ("kind", "steps", "story"),
    [
        (AddsEverything, 2, r"(comes again|comes 2 times|sent again)(.|\n)* the (payout|amount) must be "),
        (FirstWins, 2, r"(modified|reversed) from(.|\n)* must be "),
        (LastWins, 2, r"comes (late|again)(.|\n)* must be "),
        (WipesTexts, 2, r"reversed from(.|\n)*Then the currency must be USD, not \'\'"),
    ],
)
def test_the_machine_finds_the_shortest_life_cycle_and_prints_nothing(
    kind: type[Ledger], steps: int, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shortest(Books(kind))
    assert capsys.readouterr() == ("", "")
    assert found is not None
    assert len(found.steps) <= steps
    assert re.search(story, told(found.steps, found.found, WITH_TEXTS))


def test_an_honest_partner_stands_whatever_the_machine_does() -> None:
    assert shortest(Books(AddsDeltas), max_examples=30) is None


class Forgetful(Books):
    """Forgets everything when it is started anew."""

    async def restart(self) -> None:
        self.ledgers.clear()


def test_what_a_restart_loses_is_found() -> None:
    found = shortest(Forgetful(AddsDeltas))
    assert found is not None
    assert [type(step) for step in found.steps] == [Send, Restart]
    assert "started anew" in told(found.steps, found.found, WITH_TEXTS)
