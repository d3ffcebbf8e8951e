"""One judge: live, from a file, from a store, and in a test give the same verdicts on the same captures."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.asserting import assert_conforms
from postback_conformance.captured.traffic import notifications_of, open_traffic, pack_source
from postback_conformance.judging.judge import Judge, judge
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture, SqliteStore, capture_to_line
from postback_sender.notification import Notification, NotificationSource

ReadSettings = Callable[[str], Notification]

SETTINGS = 'retry = [0.5]\nmaximum_requests = "1/s"\nminimum_delay = "1s"\n' + JSON_SETTINGS
BODY = b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'
ARRIVED = [
    replace(each, id=f"c{number}")
    for number, each in enumerate(
        [
            capture(BODY, status=503),
            capture(BODY, at_s=0.2),
            capture(b"{", at_s=0.4),
            capture(BODY.replace(b'"1"', b'"{ActionId}"'), at_s=2),
            replace(
                capture(b'{"id', at_s=3, truncated=True, headers=(("Content-Length", "30"),)),
                answer=None,
                gone_ns=4 * 10**9,
            ),
            capture(BODY, at_s=5, headers=()),
        ]
    )
]


def told(verdicts: tuple[Verdict, ...]) -> list[Verdict]:
    return [replace(one, endpoint=None) for one in verdicts]


def test_all_ways_to_judge_give_the_same_verdicts(tmp_path: Path, read_settings: ReadSettings) -> None:
    notification = read_settings(SETTINGS)
    live = Judge(notification, RULES, endpoint="/")
    findings = [finding for arrived in ARRIVED for finding in live.see(arrived)]
    expected = told(live.verdicts())
    assert findings
    assert all(replace(one, endpoint=None) in expected for one in findings)

    lines = tmp_path / "captures.ndjson"
    lines.write_bytes(b"".join(capture_to_line(each).rstrip(b"\n") + b"\n" for each in ARRIVED))
    with open_traffic(lines) as traffic:
        assert told(judge(traffic.read(), notification, RULES).verdicts) == expected

    path = tmp_path / "captures.sqlite"
    asyncio.run(_fill(path, ARRIVED))
    with open_traffic(path) as traffic:
        settings = notifications_of(traffic.settings, name=traffic.name)
        assert told(judge(traffic.read(), settings, RULES).verdicts) == expected

    judgement = assert_conforms(ARRIVED, notification, only=["http.*", "capture.*"], skip=["capture.complete"])
    chosen = [one for one in expected if one.rule.startswith("http.") or one.rule.startswith("capture.")]
    assert told(judgement.verdicts) == [one for one in chosen if one.rule != "capture.complete"]


def test_a_test_is_told_each_finding_in_the_words_of_the_judge(read_settings: ReadSettings) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_conforms(ARRIVED, read_settings(SETTINGS), only=["body.json.well-formed", "capture.complete"])
    (first, *findings) = str(caught.value).splitlines()
    assert first == "2 findings in 6 captures:"
    verdicts = judge(ARRIVED, read_settings(SETTINGS), RULES).verdicts
    messages = {one.rule: one.message for one in verdicts if one.outcome == "fail"}
    assert findings == [
        f"  ✗ {rule} MUST: {messages[rule]} ({capture_id})"
        for rule, capture_id in (("body.json.well-formed", "c2"), ("capture.complete", "c4"))
    ]


def test_a_test_that_captured_nothing_fails(read_settings: ReadSettings) -> None:
    with pytest.raises(AssertionError, match="there is no capture to judge"):
        assert_conforms([], read_settings(SETTINGS))


async def _fill(path: Path, arrived: list[Capture]) -> None:
    store = SqliteStore(path)
    await store.set_endpoints({"/": pack_source(NotificationSource(name="example.toml", text=SETTINGS))})
    for one in arrived:
        await store.append(one)
    store.close()
