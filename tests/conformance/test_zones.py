"""Zones made from rules switch their clocks when the real ones do, on every machine."""

import copy
import pickle
from datetime import datetime, timedelta

import pytest

from postback_conformance.generating.zones import ZONES, RuleZone, switches, zone_named

OFFSETS = {
    "Europe/London": ("+00:00", "+01:00"),
    "America/New_York": ("-05:00", "-04:00"),
    "America/Los_Angeles": ("-08:00", "-07:00"),
    "America/St_Johns": ("-03:30", "-02:30"),
    "Pacific/Pago_Pago": ("-11:00", "-11:00"),
    "Europe/Berlin": ("+01:00", "+02:00"),
    "Asia/Jerusalem": ("+02:00", "+03:00"),
    "Asia/Kolkata": ("+05:30", "+05:30"),
    "Asia/Kathmandu": ("+05:45", "+05:45"),
    "Asia/Singapore": ("+08:00", "+08:00"),
    "Africa/Cairo": ("+02:00", "+03:00"),
    "America/Havana": ("-05:00", "-04:00"),
    "Australia/Lord_Howe": ("+11:00", "+10:30"),
    "Pacific/Chatham": ("+13:45", "+12:45"),
    "Pacific/Kiritimati": ("+14:00", "+14:00"),
}


def test_each_zone_has_its_offsets_of_january_and_july() -> None:
    shown = {
        zone.key: tuple(datetime(2026, month, 1, tzinfo=zone).isoformat()[-6:] for month in (1, 7)) for zone in ZONES
    }

    assert shown == OFFSETS


@pytest.mark.parametrize(
    ("name", "instants"),
    [
        ("Europe/London", ["2026-03-29T01:00:00", "2026-10-25T01:00:00"]),
        ("America/New_York", ["2026-03-08T07:00:00", "2026-11-01T06:00:00"]),
        ("Asia/Jerusalem", ["2026-03-27T00:00:00", "2026-10-24T23:00:00"]),
        ("Africa/Cairo", ["2026-04-23T22:00:00", "2026-10-29T21:00:00"]),
        ("Pacific/Chatham", ["2026-04-04T14:00:00", "2026-09-26T14:00:00"]),
        ("Asia/Kolkata", []),
    ],
)
def test_the_clocks_switch_when_they_really_do(name: str, instants: list[str]) -> None:
    """Dates of 2026 as the governments have set them."""
    assert list(switches(zone_named(name), 2026)) == [datetime.fromisoformat(text + "+00:00") for text in instants]


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_a_switch_is_the_very_second_of_another_offset(zone: RuleZone) -> None:
    for year in range(2020, 2036):
        for switch in switches(zone, year):
            before, after = ((switch - timedelta(seconds=early)).astimezone(zone).utcoffset() for early in (1, 0))
            assert before != after


def test_a_zone_can_be_copied_and_pickled() -> None:
    """So that a generated action can, too."""
    for zone in ZONES:
        copies = copy.deepcopy(zone), pickle.loads(pickle.dumps(zone))  # noqa: S301 - of our own making
        assert copies == (zone, zone)
