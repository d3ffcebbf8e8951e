"""Purging an outbox: what has ended long enough ago leaves, what waits never does, and the file stops growing."""

import asyncio
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox_files import FOR_EVER, SOURCE, add, draft
from postback_sender import Delivery, NotificationSource, Sender, parse_notification
from postback_sender.delivery.policy import GiveUp
from postback_sender.outbox import sqlite_purge
from postback_sender.outbox.entry import STATES, LoggedAttempt, Outcome, State
from postback_sender.outbox.errors import OutboxError
from postback_sender.outbox.sqlite_listing import OutboxFile
from postback_sender.outbox.sqlite_outbox import SqliteOutbox


def end(path: Path, entry_id: int, at_ns: int, outcome: Outcome = "delivered") -> None:
    async def end_it() -> None:
        async with SqliteOutbox(path, SOURCE, ordered=False) as outbox:
            await outbox.claim(until_ns=FOR_EVER, limit=10_000, resends=False)
            tried = LoggedAttempt(number=1, started_at_ns=at_ns - 1, finished_at_ns=at_ns)
            await outbox.record(entry_id, tried, outcome=outcome)

    asyncio.run(end_it())


def left(path: Path) -> list[int]:
    return sorted(entry.id for entry in OutboxFile(path).latest())


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  ours
        return int(count)


def test_what_ended_before_goes_with_its_event_and_its_log(path: Path) -> None:
    add(path, draft("a"), draft("b"), draft("c"), draft("d"))
    end(path, 1, at_ns=100)
    end(path, 2, at_ns=100, outcome="given up")
    end(path, 3, at_ns=200)
    file = OutboxFile(path)
    assert file.ended_before(101) == {"delivered": 1, "given up": 1}
    assert left(path) == [1, 2, 3, 4]
    assert file.purge(101).counts == {"delivered": 1, "given up": 1}
    assert left(path) == [3, 4]
    assert (rows(path, "entry"), rows(path, "event"), rows(path, "attempt")) == (2, 2, 1)
    assert file.purge(101).counts == {}


def test_only_the_states_that_were_asked_for_go(path: Path) -> None:
    add(path, draft(), draft(), draft(due_ns=50))
    end(path, 1, at_ns=100)
    end(path, 2, at_ns=100, outcome="given up")
    file = OutboxFile(path)
    file.drop([3], reason="by hand")
    assert file.purge(FOR_EVER, states=["given up", "waiting"]).counts == {"given up": 1}
    # One that was dropped has no attempt: it was due then.
    assert file.purge(50, states=["dropped"]).counts == {}
    assert file.purge(51, states=["dropped"]).counts == {"dropped": 1}
    assert left(path) == [1]


def test_no_id_is_ever_given_to_another_entry(path: Path) -> None:
    add(path, draft(), draft())
    for one in (1, 2):
        end(path, one, at_ns=1)
    assert OutboxFile(path).purge(FOR_EVER).counts == {"delivered": 2}
    assert add(path, draft(), draft()) == [3, 4]


def test_settings_and_targets_that_nobody_refers_to_go_too(path: Path) -> None:
    add(path, draft())
    with closing(SqliteOutbox(path, NotificationSource(name="other.toml", text="x"), to="http://127.0.0.1:1/")):
        pass
    assert (rows(path, "source"), rows(path, "lane")) == (2, 2)
    OutboxFile(path).purge(FOR_EVER)
    assert (rows(path, "source"), rows(path, "lane")) == (1, 1)
    assert left(path) == [1]


def test_the_file_gets_smaller_and_what_waits_is_delivered_as_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several pages, which are short here."""
    monkeypatch.setattr(sqlite_purge, "_PAGE_ENTRIES", 7)
    add(path, *(draft("k", filler="x" * 20_000) for _ in range(40)))
    for one in range(1, 31):
        end(path, one, at_ns=one)
    before = path.stat().st_size
    purged = OutboxFile(path).purge(FOR_EVER)
    assert (purged.counts, purged.obstacle) == ({"delivered": 30}, "")
    assert purged.freed_bytes == before - path.stat().st_size > before / 2

    async def claim() -> list[int]:
        async with SqliteOutbox(path, SOURCE) as outbox:
            return [entry.id for entry in await outbox.claim(until_ns=FOR_EVER, limit=99, resends=False)]

    # The first of its key.
    assert asyncio.run(claim()) == [31]


def test_without_room_to_shrink_it_is_purged_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("postback_sender.outbox.sqlite_listing.give_back", full)
    add(path, draft())
    end(path, 1, at_ns=1)
    purged = OutboxFile(path).purge(FOR_EVER)
    assert (purged.counts, purged.freed_bytes) == ({"delivered": 1}, 0)
    assert "disk is full" in purged.obstacle


def test_a_sender_that_works_on_the_file_is_not_disturbed(path: Path) -> None:
    add(path, draft())
    end(path, 1, at_ns=1)
    with closing(SqliteOutbox(path, SOURCE)):
        assert OutboxFile(path).ended_before(FOR_EVER) == {"delivered": 1}
        with pytest.raises(OutboxError, match="works on it"):
            OutboxFile(path).purge(FOR_EVER)


def test_a_program_that_never_stops_can_purge_what_it_has_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_purge, "_PAGE_ENTRIES", 3)

    async def main() -> None:
        async with SqliteOutbox(path, SOURCE) as outbox:
            await outbox.add([draft(str(number)) for number in range(10)])
            for entry in await outbox.claim(until_ns=FOR_EVER, limit=8, resends=False):
                tried = LoggedAttempt(number=1, started_at_ns=1, finished_at_ns=entry.id)
                await outbox.record(entry.id, tried, outcome="delivered")
            assert await outbox.purge(7, states=["given up"]) == {}
            assert await outbox.purge(7) == {"delivered": 6}
            assert await outbox.counts() == {"waiting": 2, "delivered": 2, "given up": 0, "dropped": 0}
            assert await outbox.purge(FOR_EVER) == {"delivered": 2}
            assert await outbox.add([draft()]) == [11]

    asyncio.run(main())
    assert left(path) == [9, 10, 11]


def test_who_purges_what_ended_this_very_moment_still_hears_how_it_ended(path: Path) -> None:
    class PurgedAtOnce(SqliteOutbox):
        async def record(
            self,
            entry_id: int,
            attempt: LoggedAttempt | None,
            *,
            due_ns: int | None = None,
            outcome: Outcome | None = None,
            reason: str = "",
        ) -> bool:
            advanced = await super().record(entry_id, attempt, due_ns=due_ns, outcome=outcome, reason=reason)
            await self.purge(FOR_EVER)
            return advanced

    async def main() -> list[Delivery]:
        refused = NotificationSource(name="n.toml", text='url = "http://127.0.0.1:1/"\nretry = [0]\n')
        outbox = PurgedAtOnce(path, refused)
        async with outbox, Sender(parse_notification(refused, {}), outbox=outbox) as sender:
            await sender.accept_drafts([draft()])
            return [delivery async for delivery in sender.deliver()]

    [delivery] = asyncio.run(main())
    assert isinstance(delivery.outcome, GiveUp)
    assert [attempt.number for attempt in delivery.attempts] == [2]
    assert left(path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    ends=st.lists(st.sampled_from(STATES), max_size=6),
    states=st.sets(st.sampled_from(STATES)),
    before_ns=st.integers(-(2**70), 2**70),
)
def test_what_waits_is_never_purged(
    tmp_path_factory: pytest.TempPathFactory, ends: list[State], states: Collection[State], before_ns: int
) -> None:
    path = tmp_path_factory.mktemp("o") / "outbox.sqlite"
    add(path, *(draft() for _ in ends))
    for entry_id, state in enumerate(ends, 1):
        if state == "dropped":
            OutboxFile(path).drop([entry_id], reason="")
        elif state != "waiting":
            end(path, entry_id, at_ns=7, outcome=state)
    file = OutboxFile(path)
    told = file.ended_before(before_ns, states=states)
    assert file.purge(before_ns, states=states).counts == told
    waiting = [entry_id for entry_id, state in enumerate(ends, 1) if state == "waiting"]
    assert set(waiting) <= set(left(path))
    assert set(told) <= set(states) - {"waiting"}
    assert sum(told.values()) == len(ends) - len(left(path))
