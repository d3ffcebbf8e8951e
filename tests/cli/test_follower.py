"""`check --follow`, with a store that grows and clocks that stand still until told."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.captured.traffic import pack_source
from postback_conformance.cli.following import Follower
from postback_conformance.errors import TrafficError
from postback_conformance.judging.following import PATIENCE_NS, Following
from postback_conformance.judging.judge import Judges, Notifications
from postback_conformance.judging.selection import find_rule
from postback_conformance.reports.timeline import Timelines
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_BODY, JSON_SETTINGS, capture
from postback_receiver import Capture, CaptureReader, Retention, SqliteStore, open_store
from postback_sender.notification import NotificationSource

GOOD = replace(capture(JSON_BODY), id="good")
BAD = replace(capture(b"{", at_s=1), id="bad")
LATER = replace(capture(JSON_BODY, at_s=2), id="later")


class Watch:
    """Follows a store one look at a time, and keeps what it is told."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.wall_ns = GOOD.received_at_ns
        self.monotonic_ns = 0
        self.timelines: Timelines | None = None
        self.follower = Follower(
            path,
            None,
            make_judges=self._judges,
            tell=lambda arrived, finding: self.told.append(f"{arrived.id} {finding.rule}"),
            following=Following(lambda: self.wall_ns, lambda: self.monotonic_ns),
        )

    def _judges(self, notifications: Notifications) -> Judges:
        self.timelines = Timelines(notifications)
        return Judges(notifications, [find_rule(RULES, "body.json.well-formed")], observe=self.timelines.observe)

    @property
    def captures(self) -> int:
        judgement = self.follower.judgement()
        return judgement.captures if judgement else 0


def keep(path: Path, arrived: Sequence[Capture], *, endpoints: Sequence[str] = ("/",), most: int | None = None) -> None:
    """Append to a store as a receiver does, with the settings of its endpoints."""
    settings = pack_source(NotificationSource(name="n.toml", text=JSON_SETTINGS))

    async def fill() -> None:
        store = SqliteStore(path, retention=Retention(max_captures=most) if most else Retention())
        await store.set_endpoints(dict.fromkeys(endpoints, settings))
        for one in arrived:
            await store.append(one)
        store.close()

    asyncio.run(fill())


@contextmanager
def opened(path: Path) -> Generator[CaptureReader]:
    store = open_store(path)
    try:
        yield store
    finally:
        store.close()


def test_each_capture_is_judged_once_and_its_findings_are_told_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [GOOD])
    watch = Watch(path)
    with opened(path) as store:
        for arrived, told in (
            ([], []),
            ([BAD], ["bad body.json.well-formed"]),
            ([LATER], ["bad body.json.well-formed"]),
        ):
            keep(path, arrived)
            assert watch.follower.look(store)
            assert watch.follower.look(store), "nothing new"
            assert watch.told == told
    assert (watch.captures, watch.follower.evicted) == (3, 0)


def test_what_waits_for_its_answer_holds_up_what_came_after_it_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [GOOD, replace(BAD, answer=None), LATER])
    watch = Watch(path)
    with opened(path) as store:
        watch.follower.look(store)
        assert (watch.captures, watch.told) == (1, [])
        watch.monotonic_ns = PATIENCE_NS
        watch.follower.look(store)
        assert (watch.captures, watch.told) == (3, ["bad body.json.well-formed"])


def test_at_the_end_nothing_waits(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [GOOD, replace(BAD, answer=None)])
    watch = Watch(path)
    with opened(path) as store:
        watch.follower.look(store)
        watch.follower.look(store, to_the_end=True)
    assert watch.captures == 2


def test_one_who_is_stopped_stops_after_the_capture_at_hand(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [BAD, replace(BAD, id="second")])
    watch = Watch(path)
    with opened(path) as store:
        assert not watch.follower.look(store, lambda: True)
    assert watch.told == ["bad body.json.well-formed"]


def test_an_endpoint_that_came_with_a_restart_is_judged_and_charted_too(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [GOOD])
    watch = Watch(path)
    with opened(path) as store:
        watch.follower.look(store)
        keep(path, [replace(BAD, endpoint="/new")], endpoints=("/", "/new"))
        watch.follower.look(store)
    assert watch.told == ["bad body.json.well-formed"]
    assert watch.timelines is not None
    assert [(one.endpoint, one.captures) for one in watch.timelines.timeline.pacings] == [("/", 1), ("/new", 1)]


def test_what_the_store_let_go_of_before_anybody_looked_makes_a_pass_inconclusive(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [replace(GOOD, id=f"c{number}", body=JSON_BODY) for number in range(50)], most=2)
    watch = Watch(path)
    with opened(path) as store:
        watch.follower.look(store)
    judgement = watch.follower.judgement()
    assert judgement is not None
    assert watch.follower.evicted == 50 - judgement.captures > 0
    assert [one.outcome for one in judgement.verdicts] == ["inconclusive"]


def test_a_store_without_settings_is_told_to_want_some(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    keep(path, [GOOD], endpoints=())
    with opened(path) as store, pytest.raises(TrafficError, match="pass --notification"):
        Watch(path).follower.look(store)
