"""Whatever a file of captures holds, judging it ends in verdicts or in an error that names the file."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cpu_time import cpu_time
from postback_conformance.captured.traffic import open_traffic
from postback_conformance.errors import TrafficError
from postback_conformance.judging.judge import Judgement, judge
from postback_conformance.judging.selection import select
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, QUERY_SETTINGS, XML_SETTINGS, capture
from postback_receiver import Capture, capture_to_line
from postback_receiver.har_writing import write_har
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

NOTES = {"json": JSON_SETTINGS, "xml": XML_SETTINGS, "query": QUERY_SETTINGS}
MANY = 10_000_000
GOOD = capture(b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}')


# What a file holds is read before any rule sees it, so few rules will do where there are thousands of files.
FEW = select(RULES, only=["body.json.*", "capture.*"])


def judged(path: Path, notification: Notification) -> Judgement:
    with open_traffic(path) as traffic:
        return judge(traffic.read(), notification, FEW)


def assert_no_fault_of_ours(judgement: Judgement) -> None:
    assert [one for one in judgement.verdicts if one.outcome == "error"] == []


@pytest.mark.parametrize(
    ("body_format", "body"),
    [
        ("json", b"[" * 100_000),
        ("json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        ("json", b'{"id": "' + b"x" * MANY + b'", "date": ""}'),
        ("json", b'{"id": ' + b"9" * 1_000_000 + b"}"),
        ("json", b'{"id": "' + b"\\u0041" * 200_000 + b'", "date": ""}'),
        ("json", b'{"id": "\\ud800", "date": "\xff"}'),
        ("json", b"\x00" * 100_000),
        ("xml", b"<a>" * 100_000),
        ("xml", b"<a><id>" + b"x" * MANY + b"</id></a>"),
        (
            "xml",
            b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx">'
            + b"".join(b'<!ENTITY x%d "%s">' % (n, b"&x%s;" % str(n - 1 or "").encode() * 10) for n in range(1, 12))
            + b"]><a><id>&x11;</id></a>",
        ),
        ("xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><id>&x;</id></a>'),
        ("query", b"%" * 100_000),
        ("query", b"&" * 200_000),
    ],
    ids=[
        "unclosed lists",
        "deep objects",
        "a value of 10 MB",
        "a number of a million digits",
        "escapes only",
        "half a character",
        "zeros",
        "unclosed elements",
        "an element of 10 MB",
        "an entity bomb",
        "an outside file",
        "percent signs",
        "empty parameters",
    ],
)
def test_hostile_bodies_are_judged_in_bounded_time(body_format: str, body: bytes, read_settings: ReadSettings) -> None:
    target = "/postback?" + body.decode("latin-1") if body_format == "query" else "/postback"
    arrived = capture(body if body_format != "query" else b"", target=target)
    with cpu_time() as spent:
        judgement = judge([arrived, GOOD], read_settings(NOTES[body_format]), RULES)
    assert spent.seconds < 20
    assert_no_fault_of_ours(judgement)
    assert judgement.captures == 2


def test_a_bomb_of_nothing_is_not_unpacked(read_settings: ReadSettings) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    arrived = capture(bomb, headers=(("Content-Type", "application/json"), ("Content-Encoding", "gzip")))
    judgement = judge([arrived], read_settings(JSON_SETTINGS), RULES)
    assert_no_fault_of_ours(judgement)
    (well_formed,) = [one for one in judgement.verdicts if one.rule == "body.json.well-formed"]
    assert well_formed.outcome == "inconclusive"
    assert "holds more than" in well_formed.message


def ends(path: Path, notification: Notification) -> str:
    """Return how judging a file ends: with verdicts, with nothing to judge, or with an error that names the file."""
    try:
        judgement = judged(path, notification)
    except TrafficError as error:
        return "error" if str(path) in str(error) else f"an error that names no file: {error}"
    assert_no_fault_of_ours(judgement)
    return f"{judgement.captures} judged"


def test_ndjson_that_is_cut_anywhere_is_judged_whole_or_refused(tmp_path: Path, read_settings: ReadSettings) -> None:
    """A cut line is never passed over: what is judged is all of the lines, or nothing."""
    notification, path = read_settings(JSON_SETTINGS), tmp_path / "cut.ndjson"
    lines = [capture_to_line(each) for each in (GOOD, capture(b"{", at_s=1))]
    whole = b"".join(line.rstrip(b"\n") + b"\n" for line in lines)
    first = whole.index(b"\n")
    lasting = {0: "0 judged", **dict.fromkeys((first, first + 1), "1 judged")}
    lasting |= dict.fromkeys((len(whole) - 1, len(whole)), "2 judged")
    path.write_bytes(whole)
    for length in range(len(whole), -1, -1):
        os.truncate(path, length)
        assert ends(path, notification) == lasting.get(length, "error"), whole[:length]


def test_the_error_names_the_line(tmp_path: Path, read_settings: ReadSettings) -> None:
    path = tmp_path / "cut.ndjson"
    line = capture_to_line(GOOD).rstrip(b"\n")
    path.write_bytes(line + b"\n" + line.replace(b"example-0", b"b") + b"\n" + line[:80])
    with pytest.raises(TrafficError, match=r"cut\.ndjson: [Ll]ine 3"):
        judged(path, read_settings(JSON_SETTINGS))


def har_of(*captures: Capture) -> bytes:
    return b"".join(write_har(captures))


def test_har_that_is_cut_anywhere_is_judged_whole_or_refused(tmp_path: Path, read_settings: ReadSettings) -> None:
    notification, path = read_settings(JSON_SETTINGS), tmp_path / "cut.har"
    whole = har_of(GOOD)
    path.write_bytes(whole)
    assert ends(path, notification) == "1 judged"
    for length in range(len(whole.rstrip()) - 1, -1, -1):
        os.truncate(path, length)
        assert ends(path, notification) == ("error" if whole[:length].strip() else "0 judged"), whole[:length]


SPOILT: dict[str, Callable[[str], str]] = {
    "NaN": lambda text: text.replace('"time":', '"time": NaN, "was":', 1),
    "no method": lambda text: text.replace('"method"', '"was"', 1),
    "no entries": lambda text: text.replace('"entries"', '"was"', 1),
    "no date": lambda text: text.replace('"startedDateTime": "', '"startedDateTime": "not ', 1),
    "a number for a URL": lambda text: text.replace('"url": "', '"url": 5, "was": "', 1),
    "a list": lambda text: "[" * 100_000 + text,
    "deep": lambda text: text.replace('"request": {', '"request": ' + '{"a":' * 50_000, 1),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_broken_har_is_judged_or_refused(how: str, tmp_path: Path, read_settings: ReadSettings) -> None:
    path = tmp_path / "broken.har"
    path.write_text(SPOILT[how](json.dumps(json.loads(har_of(GOOD)))))
    assert ends(path, read_settings(JSON_SETTINGS)) in {"error", "1 judged"}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=str)
def test_captures_in_any_order_blame_nobody_wrongly(order: tuple[int, ...], read_settings: ReadSettings) -> None:
    """What is honest in its order is not broken in another one."""
    notification = read_settings('retry = [1, 60]\nmaximum_requests = "1/s"\n' + JSON_SETTINGS)
    honest = [
        capture(GOOD.body, status=503),
        capture(GOOD.body, at_s=2),
        capture(GOOD.body.replace(b"1", b"2", 1), at_s=30, status=404),
        capture(GOOD.body.replace(b"1", b"3", 1), at_s=60),
    ]
    judgement = judge([honest[index] for index in order], notification, RULES)
    delivery = [one for one in judgement.verdicts if one.rule.startswith("delivery.") and one.outcome == "fail"]
    assert [one for one in delivery if one.level == "MUST"] == []
    assert_no_fault_of_ours(judgement)
