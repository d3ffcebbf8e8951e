"""An instant is told as the clocks of the program's zone show it, also where they skip an hour or show one twice."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.generating.zones import ZONES, switches, zone_named
from postback_sender.program_time import in_zone, start_of_day, wire_date

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JERUSALEM = zone_named("Asia/Jerusalem")


@pytest.mark.parametrize(
    ("when", "told"),
    [
        pytest.param(datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T02:00:00+02:00", id="winter"),
        pytest.param(datetime(2026, 7, 1, tzinfo=UTC), "2026-07-01T03:00:00+03:00", id="summer"),
        pytest.param(datetime(2026, 7, 1, tzinfo=JERUSALEM), "2026-07-01T00:00:00+03:00", id="in the zone already"),
        pytest.param(datetime(2026, 3, 26, 23, 59, 59, tzinfo=UTC), "2026-03-27T01:59:59+02:00", id="before the gap"),
        pytest.param(datetime(2026, 3, 27, tzinfo=UTC), "2026-03-27T03:00:00+03:00", id="after the gap"),
        pytest.param(datetime(2026, 3, 27, 2, 30, tzinfo=JERUSALEM), "2026-03-27T03:30:00+03:00", id="in the gap"),
        pytest.param(datetime(2026, 10, 25, 1, 30, tzinfo=JERUSALEM), "2026-10-25T01:30:00+03:00", id="twice"),
        pytest.param(
            datetime(2026, 10, 25, 1, 30, tzinfo=JERUSALEM, fold=1), "2026-10-25T01:30:00+02:00", id="second time"
        ),
        pytest.param(datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC), "2026-01-01T02:00:00+02:00", id="fraction"),
    ],
)
def test_the_wire_tells_the_clock_face_and_the_offset_of_that_moment(when: datetime, told: str) -> None:
    assert wire_date(in_zone(when, JERUSALEM)) == told


@pytest.mark.parametrize(
    ("zone", "day", "told"),
    [
        ("Asia/Jerusalem", date(2026, 3, 27), "2026-03-27T00:00:00+02:00"),
        ("Asia/Jerusalem", date(2026, 3, 28), "2026-03-28T00:00:00+03:00"),
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-24T01:00:00+03:00"),
        ("Africa/Cairo", date(2026, 10, 30), "2026-10-30T00:00:00+02:00"),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T00:00:00-04:00"),
    ],
    ids=["clocks switch later", "the next day", "midnight skipped", "after the hour came twice", "midnight twice"],
)
def test_a_day_starts_at_its_first_moment(zone: str, day: date, told: str) -> None:
    assert wire_date(start_of_day(day, zone_named(zone))) == told


class Nowhere(tzinfo):
    """A zone that cannot say its offset."""

    def utcoffset(self, _dt: datetime | None, /) -> timedelta | None:
        return None

    def dst(self, _dt: datetime | None, /) -> timedelta | None:
        return None

    def tzname(self, _dt: datetime | None, /) -> str | None:
        return None


@pytest.mark.parametrize(
    ("when", "zone"),
    [
        (datetime(2026, 1, 1), UTC),  # noqa: DTZ001 - on purpose
        (datetime(2026, 1, 1, tzinfo=Nowhere()), UTC),
        (datetime(2026, 1, 1, tzinfo=UTC), Nowhere()),
        (datetime(2026, 1, 1, tzinfo=UTC), timezone(timedelta(seconds=-12_344))),
        (datetime(1, 1, 1, tzinfo=UTC), timezone(timedelta(hours=-1))),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), UTC),
    ],
    ids=["naive", "no offset", "zone without offset", "seconds in the offset", "before year 1", "after year 9999"],
)
def test_what_the_wire_cannot_tell_is_refused(when: datetime, zone: tzinfo) -> None:
    with pytest.raises(ValueError, match=r"expected|utcoffset"):
        in_zone(when, zone)


@st.composite
def around_switches(draw: st.DrawFn) -> datetime:
    """A clock face within two hours of a switch: any, skipped, or one of two."""
    zone = draw(st.sampled_from([zone for zone in ZONES if switches(zone, 2026)]))
    switch = draw(st.sampled_from(switches(zone, draw(st.integers(1972, 2100)))))
    face = switch.astimezone(zone).replace(tzinfo=None) + timedelta(seconds=draw(st.integers(-7200, 7200)))
    return face.replace(tzinfo=zone, fold=draw(st.integers(0, 1)))


@given(
    when=st.one_of(
        st.integers(-(2**31), 2**33).map(lambda seconds: EPOCH + timedelta(seconds=seconds)), around_switches()
    ),
    zone=st.sampled_from(ZONES),
)
def test_a_change_of_zone_changes_no_instant(when: datetime, zone: tzinfo) -> None:
    there = in_zone(when, zone)

    assert there.timestamp() == when.timestamp()
    assert there == in_zone(there, UTC)
    assert datetime.fromisoformat(wire_date(there)) == there.replace(microsecond=0)


@given(day=st.dates(date(1900, 1, 1), date(2200, 1, 1)), zone=st.sampled_from(ZONES))
def test_the_moment_before_the_start_of_a_day_is_still_the_day_before(day: date, zone: tzinfo) -> None:
    start = start_of_day(day, zone)

    assert start.date() == day
    assert in_zone(start - timedelta(microseconds=1), zone).date() == day - timedelta(days=1)
