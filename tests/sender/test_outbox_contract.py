"""What every outbox promises, in memory and in a file."""

import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from new_outboxes import FOR_EVER, OpenNew, attempt, claim, draft, run, waiting
from postback_sender import Event
from postback_sender.outbox.entry import Draft, Entry, LoggedAttempt, Outcome
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.outbox import Outbox


async def next_due(outbox: Outbox) -> tuple[int | None, int | None]:
    """When the next first send is due, and the next resend."""
    return await outbox.next_due_ns(resends=False), await outbox.next_due_ns(resends=True)


async def in_turn(*works: Awaitable[object]) -> list[object]:
    return [await work for work in works]


def test_a_new_outbox_is_empty(open_new: OpenNew) -> None:
    outbox = open_new()
    assert run(
        in_turn(outbox.counts(), next_due(outbox), claim(outbox), claim(outbox, resends=True), outbox.log(1))
    ) == [{"waiting": 0, "delivered": 0, "given up": 0, "dropped": 0}, (None, None), [], [], []]
    assert run(waiting(outbox)) == []
    assert outbox.last_used_ns is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


drafts = st.builds(
    Draft,
    event=st.builds(
        Event,
        kind=texts,
        at=st.datetimes(timezones=st.timezones()).filter(lambda at: at.utcoffset() is not None),
        values=st.dictionaries(texts, texts, max_size=3),
        items=st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2).map(tuple),
    ),
    key=texts,
    due_ns=st.integers(-(2**70), 2**70),
)


# Each example opens its own outbox, so that sharing the fixture between examples is no mixture of states.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(accepted=st.lists(drafts, max_size=4))
def test_what_was_accepted_comes_back_as_it_went_in(open_new: OpenNew, accepted: list[Draft]) -> None:
    """A due time that 64 bits cannot hold comes back as the nearest instant that they can."""
    outbox = open_new(ordered=False)

    async def add_and_claim() -> tuple[list[int], list[Entry]]:
        return await outbox.add(accepted), await outbox.claim(until_ns=FOR_EVER, limit=10, resends=False)

    ids, claimed = run(add_and_claim())
    by_id = {entry.id: entry for entry in claimed}
    assert ids == sorted(by_id)
    for entry_id, one in zip(ids, accepted, strict=True):
        entry = by_id[entry_id]
        assert (entry.key, entry.attempts, entry.round, entry.state) == (one.key, 0, 1, "waiting")
        assert entry.due_ns == max(-(2**63), min(one.due_ns, 2**63 - 1))
        # As an instant: the same offset, by whatever name its zone goes.
        assert (entry.event.at.isoformat(), entry.event.kind) == (one.event.at.isoformat(), one.event.kind)
        assert (entry.event.values, entry.event.items) == (one.event.values, one.event.items)
    outbox.close()


def test_claims_go_by_due_time_and_then_by_acceptance(open_new: OpenNew) -> None:
    outbox = open_new()

    async def work() -> None:
        assert await outbox.add([draft(due_ns=due_ns) for due_ns in (30, 10, 20, 10)]) == [1, 2, 3, 4]
        assert await next_due(outbox) == (10, None)
        assert await claim(outbox, until_ns=9) == []
        assert await claim(outbox, until_ns=20, limit=1) == [2]
        assert await claim(outbox, until_ns=20) == [4, 3]
        assert await claim(outbox, until_ns=20) == []
        assert await next_due(outbox) == (30, None)
        assert await claim(outbox, resends=True) == []
        assert await outbox.counts() == {"waiting": 4, "delivered": 0, "given up": 0, "dropped": 0}

    run(work())


@pytest.mark.parametrize("outcome", ["delivered", "given up"])
def test_an_entry_waits_for_the_end_of_those_before_it_with_its_key(open_new: OpenNew, outcome: Outcome) -> None:
    outbox = open_new()

    async def work() -> None:
        # The second one is due before the first.
        await outbox.add([draft(key="a", due_ns=20), draft(key="a", due_ns=10), draft(key="b", due_ns=30), draft()])
        assert await next_due(outbox) == (0, None)
        assert await claim(outbox) == [4, 1, 3]
        await outbox.record(1, attempt(1, "no connection"), due_ns=500)
        assert await claim(outbox) == []
        assert await next_due(outbox) == (None, 500)
        assert await claim(outbox, resends=True) == [1]
        assert await outbox.record(1, attempt(2), outcome=outcome)
        assert await next_due(outbox) == (10, None)
        assert await outbox.add([draft(key="a")]) == [5]
        assert await claim(outbox) == [2]
        assert (await outbox.counts())[outcome] == 1

    run(work())


def test_without_an_order_nothing_waits_for_its_key(open_new: OpenNew) -> None:
    outbox = open_new(ordered=False)

    async def work() -> None:
        await outbox.add([draft(key="a", due_ns=2), draft(key="a", due_ns=1)])
        assert await claim(outbox) == [2, 1]
        assert not await outbox.record(1, attempt(1), outcome="delivered")
        assert not await outbox.record(2, attempt(1), outcome="delivered")
        assert await claim(outbox) == []

    run(work())


def test_the_log_has_every_attempt_and_an_entry_its_new_due_time(open_new: OpenNew) -> None:
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(key="a"), draft(key="a")])
        await claim(outbox)
        failed = LoggedAttempt(
            number=1, started_at_ns=5, finished_at_ns=7, failure="error answer", status=503, detail="half \ud800"
        )
        await outbox.record(1, failed, due_ns=70)
        # That ended the claim; there is none left to give back.
        await outbox.release([1, 2, 99])
        assert await claim(outbox, until_ns=69, resends=True) == []
        (again,) = await outbox.claim(until_ns=70, limit=5, resends=True)
        assert (again.id, again.attempts, again.due_ns) == (1, 1, 70)
        await outbox.record(1, None, due_ns=80)
        assert await claim(outbox, resends=True) == [1]
        await outbox.record(1, attempt(2), outcome="delivered", reason="half \ud800")
        await outbox.release([1])
        first, second = await outbox.log(1)
        assert (first.number, first.status, first.failure, first.detail) == (1, 503, "error answer", "half \\ud800")
        assert (first.started_at_ns, first.finished_at_ns, first.round) == (5, 7, 1)
        assert second == attempt(2)
        assert await claim(outbox) == [2]

    run(work())


@pytest.mark.parametrize(
    ("entry_id", "number", "message"),
    [
        (99, 1, "entry 99 of the outbox is not claimed"),
        (2, 1, "entry 2 of the outbox is not claimed"),
        (3, 1, "entry 3 of the outbox is not claimed"),
        (1, 1, "1 attempts in its log: expected number 2, got 1"),
        (1, 3, "expected number 2, got 3"),
        (4, 1, "entry 4 of the outbox is not claimed"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(open_new: OpenNew, entry_id: int, number: int, message: str) -> None:
    """Entry 2 is behind another one, entry 3 has ended, and entry 4 was tried and not claimed again."""
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(key="a"), draft(key="a"), draft(), draft()])
        await claim(outbox)
        for one in (1, 4):
            await outbox.record(one, attempt(1, "no connection"), due_ns=5)
        assert await claim(outbox, resends=True, limit=1) == [1]
        await outbox.record(3, attempt(1), outcome="delivered")
        with pytest.raises(OutboxError, match=message):
            await outbox.record(entry_id, attempt(number), outcome="delivered")
        assert [len(await outbox.log(one)) for one in (1, 2, 3, 4, 99)] == [1, 0, 1, 1, 0]
        assert (await outbox.counts())["delivered"] == 1

    run(work())


def test_a_record_says_either_when_or_how_it_ended(open_new: OpenNew) -> None:
    outbox = open_new()
    with pytest.raises(ValueError, match="either another due time or an outcome"):
        run(outbox.record(1, None))
    with pytest.raises(ValueError, match="either another due time or an outcome"):
        run(outbox.record(1, None, due_ns=1, outcome="delivered"))


@pytest.mark.parametrize("bad", [draft("half \ud800"), draft(key="half \ud800")], ids=["in a value", "in the key"])
def test_half_a_character_is_refused_with_all_that_came_with_it(open_new: OpenNew, bad: Draft) -> None:
    outbox = open_new()
    with pytest.raises(OutboxError, match=r"lone surrogate U\+D800"):
        run(outbox.add([draft(), bad]))
    assert run(claim(outbox)) == []


def test_a_closed_outbox_does_nothing_more(open_new: OpenNew) -> None:
    outbox = open_new()
    outbox.close()
    outbox.close()
    for work in (
        *(outbox.add([draft()]), outbox.publish(), outbox.discard(), outbox.waiting(after_id=0, limit=1)),
        *(outbox.claim(until_ns=0, limit=1, resends=False), outbox.next_due_ns(resends=True), outbox.release([1])),
        *(outbox.record(1, None, due_ns=0), outbox.counts(), outbox.log(1)),
    ):
        with pytest.raises(OutboxError, match="closed"):
            run(work)


def test_a_caller_that_is_cancelled_claims_nothing_and_stops_nobody(open_new: OpenNew) -> None:
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(), draft()])
        claiming = [asyncio.create_task(claim(outbox, limit=1)) for _ in range(2)]
        await asyncio.sleep(0)
        claiming[0].cancel()
        found = await asyncio.gather(*claiming, return_exceptions=True)
        # Nothing is lost: what the cancelled one did not get is there for the next.
        got = [one for ids in found if not isinstance(ids, BaseException) for one in ids]
        while len(got) < 2:
            got += await claim(outbox)
        assert sorted(got) == [1, 2]

    run(work())


def test_what_waits_comes_in_pages_in_the_order_of_acceptance(open_new: OpenNew) -> None:
    """Also what is claimed, or behind another, or was tried; and a last page that is as full as the others."""
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(str(number), key="k" if number < 5 else "", due_ns=-number) for number in range(10)])
        await claim(outbox, limit=4)
        await outbox.record(10, attempt(1), outcome="delivered")
        await outbox.record(9, attempt(1, "no connection"), due_ns=5)
        await outbox.add([draft()], held=True)
        seen: list[Entry] = []
        while page := await outbox.waiting(after_id=seen[-1].id if seen else 0, limit=3):
            assert len(page) == 3
            seen += page
        assert [entry.id for entry in seen] == list(range(1, 10))
        assert [entry.event.values["ActionId"] for entry in seen] == [str(number) for number in range(9)]
        assert [entry.attempts for entry in seen] == [0] * 8 + [1]

    run(work())


def test_what_is_held_is_not_there_before_it_is_published(open_new: OpenNew) -> None:
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(key="a", due_ns=9)])
        held = await outbox.add([draft(key="a"), draft(key="b"), draft()], held=True)
        held += await outbox.add([draft(key="b"), draft()], held=True)
        assert await waiting(outbox) == [1]
        assert await next_due(outbox) == (9, None)
        assert await claim(outbox) == [1]
        assert (await outbox.counts())["waiting"] == 1
        # The first of its key ends, and what is held stays where it is.
        assert not await outbox.record(1, attempt(1), outcome="delivered")
        assert await claim(outbox) == []

        await outbox.publish()
        assert await waiting(outbox) == held
        assert await claim(outbox) == [held[0], held[1], held[2], held[4]]
        assert await outbox.record(held[1], attempt(1), outcome="delivered")
        assert await claim(outbox) == [held[3]]
        await outbox.publish()
        assert await claim(outbox) == []

    run(work())


def test_what_was_held_comes_after_what_was_there_before_with_its_key(open_new: OpenNew) -> None:
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(key="a", due_ns=9)])
        await outbox.add([draft(key="a"), draft(key="a")], held=True)
        await outbox.publish()
        for expected in (1, 2, 3):
            assert await claim(outbox) == [expected]
            assert await outbox.record(expected, attempt(1), outcome="delivered") == (expected < 3)

    run(work())


@pytest.mark.parametrize("ends", [True, False], ids=["the one before ended", "the one before waits"])
def test_what_is_discarded_was_never_there(open_new: OpenNew, *, ends: bool) -> None:
    """What was accepted meanwhile, by somebody else, with the same key, does not wait for what never came."""
    outbox = open_new()

    async def work() -> None:
        await outbox.add([draft(key="a")])
        await outbox.add([draft(key="a"), draft(key="b")], held=True)
        later = await outbox.add([draft(key="a"), draft(key="b")])
        await claim(outbox, limit=1)
        if ends:
            await outbox.record(1, attempt(1), outcome="delivered")
        await outbox.discard()
        if not ends:
            assert await claim(outbox) == later[1:]
            assert await outbox.record(1, attempt(1), outcome="delivered")
            assert await claim(outbox) == later[:1]
        else:
            assert await claim(outbox) == later
        assert await waiting(outbox) == later
        await outbox.publish()
        assert await waiting(outbox) == later

    run(work())
