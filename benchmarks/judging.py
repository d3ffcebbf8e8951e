"""What judging costs: `python benchmarks/judging.py` times all rules on one capture of each sample.

It is told as a ratio to `json.loads` of a body of the corrected JSON sample. Each is timed once on each capture, in
turn, so what a machine is busy with slows down both, and neither finds in its caches what it left there; of all times,
that counts which nine in ten exceed. Over and over on one body, `json.loads` takes about two thirds of that. A million
captures are judged in a process of their own, so that its memory is that of the judge alone.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, islice
from typing import Any

from postback_conformance.demo import demo_sources
from postback_conformance.judging.judge import Judge
from postback_conformance.rules import RULES
from postback_receiver import Answer, Capture
from postback_sender import Event, example_event, parse_notification
from postback_sender.notification import Notification
from postback_sender.postback import Postback, render_postback

MANY = 1_000_000
MOST_RATIO = 11.0
MOST_BYTES = 300_000_000
_GAP_NS = 200_000_000
_CAPTURES = 4_000
_BEGUN = datetime(2026, 5, 11, tzinfo=UTC)
_OFFSET = timezone(timedelta(hours=3))
# Days since 2008, of which the second number of an action id tells.
_DAY = 6705


def captures(notification: Notification, *, lives: int = 3) -> Iterator[Capture]:
    """Yield captures without end: each action is told of `lives` times, and every tenth postback is sent twice."""
    example = example_event(notification.event)
    number = 0
    for action in count():
        born = _BEGUN + timedelta(milliseconds=200 * number, minutes=-1)
        happened = born.astimezone(_OFFSET).isoformat(timespec="seconds")
        for update in range(lives):
            at = _BEGUN + timedelta(milliseconds=200 * number)
            ids = {"ActionId": f"1000.{_DAY}.{action}", "Text1": f"update {update}"}
            values = {**example.values, **ids, "EventDate": happened}
            event = Event(kind=example.kind, at=at, values=values, items=example.items[:3])
            postback = render_postback(notification, event)
            for attempt in range(2 if number % 10 == 0 else 1):
                number += 1
                yield _capture(notification, postback, number, attempt=attempt)


def _capture(notification: Notification, postback: Postback, number: int, *, attempt: int) -> Capture:
    arrived_ns = int(_BEGUN.timestamp()) * 1_000_000_000 + number * _GAP_NS
    at_ns = number * _GAP_NS
    return Capture(
        id=f"{number:032x}",
        run="benchmark",
        endpoint="/",
        received_at_ns=arrived_ns,
        monotonic_ns=at_ns,
        body_done_ns=at_ns + 200_000,
        connection="c1",
        connection_request=number,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method=notification.method,
        target="/" + postback.url.partition("://")[2].partition("/")[2],
        headers=(("Host", "127.0.0.1:8080"), *postback.headers, ("Content-Length", str(len(postback.body)))),
        body=postback.body,
        answer=Answer(
            status=200 if attempt or number % 10 != 1 else 503,
            body=b"OK",
            sent_at_ns=arrived_ns + 400_000,
            sent_ns=at_ns + 400_000,
        ),
    )


def sample(name: str) -> Notification:
    """Return a notification of the demonstration."""
    return parse_notification(demo_sources()[name], None)


def one_capture() -> float:
    """Print what all rules cost on one capture of each sample; return the ratio of the corrected JSON."""
    ratios: dict[str, float] = {}
    bodies = [each.body for each in islice(captures(sample("corrected")), _CAPTURES)]
    for name in ("corrected", "documented", "xml", "query", "get"):
        notification = sample(name)
        ready = list(islice(captures(notification), _CAPTURES))
        judge = Judge(notification, RULES, endpoint="/")
        times = [(_time(json.loads, body), _time(judge.see, each)) for body, each in zip(bodies, ready, strict=True)]
        reading, judging = (statistics.quantiles(column, n=10) for column in zip(*times, strict=True))
        ratios[name] = judging[0] / reading[0]
        unclean = {one.rule for one in judge.verdicts() if one.outcome in {"fail", "error"}}
        print(
            f"{name:<11} {ratios[name]:5.1f} times json.loads: {judging[0]:6.1f} µs for {len(RULES)} rules "
            f"(median {judging[4]:.1f} µs), {reading[0]:.1f} µs; "
            f"found: {', '.join(sorted(unclean)) or 'nothing'}"
        )
    return ratios["corrected"]


def _time(work: Callable[[Any], object], one: object) -> float:
    begun = time.perf_counter_ns()
    work(one)
    return (time.perf_counter_ns() - begun) / 1000


def many(count: int) -> int:
    """Judge so many captures in a process of their own; print what it took, and return its memory in bytes."""
    command = [sys.executable, __file__, "--judge", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  it is this very file
    judged, seconds, resident = done.stdout.split()
    print(f"{judged} captures in {float(seconds):.0f} s of CPU time, {int(resident) / 1e6:.0f} MB at most")
    return int(resident)


def judge_many(count: int) -> None:
    """Judge captures that are made as they are needed; print how many, the CPU seconds, the bytes of memory."""
    notification = sample("corrected")
    judge = Judge(notification, RULES, endpoint="/")
    begun = time.process_time()
    stream = captures(notification)
    for _ in range(count):
        judge.see(next(stream))
    judge.verdicts()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(count, time.process_time() - begun, resident)


def main() -> int:
    """Print all of it; 1 when a limit is missed."""
    ratio = one_capture()
    resident = many(MANY)
    return int(ratio > MOST_RATIO or resident > MOST_BYTES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--judge"]:
        judge_many(int(sys.argv[2]))
    else:
        sys.exit(main())
