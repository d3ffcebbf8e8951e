"""Generated events for a notification, and sending from code that is not asynchronous."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from fork_server import PATIENCE_S
from hasty_loop import HastyLoop
from postback_conformance.driving import EventSender, generated_events
from postback_conformance.errors import SelectionError
from postback_receiver import Receiver, Reply
from postback_sender import Notification, Sender, example_event
from postback_sender.delivery.policy import Delivered
from postback_sender.delivery.retry import Failure
from postback_sender.subscription import reported
from postback_sender.tokens import EVENT_KINDS, EventKind

ReadSettings = Callable[[str], Notification]


def settings_of(kind: EventKind, level: str) -> str:
    return f'event = "{kind}"\nlevel = "{level}"\nurl = "http://127.0.0.1/?id={{ActionId}}"'


@pytest.mark.parametrize("level", ["global", "event"])
@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_as_many_events_are_generated_as_asked_for_and_the_notification_reports_each_of_them_now(
    read_settings: ReadSettings, kind: EventKind, level: str
) -> None:
    notification = read_settings(settings_of(kind, level))

    events = generated_events(notification, count=12, seed=3)

    assert len(events) == 12
    assert list(reported(notification, events)) == events
    assert max(event.at for event in events) < datetime.now(UTC) + timedelta(seconds=1)
    again = generated_events(notification, count=12, seed=3)
    assert [sorted(event.values) for event in again] == [sorted(event.values) for event in events]


def test_at_event_level_every_generated_event_is_the_first_of_its_action(read_settings: ReadSettings) -> None:
    events = generated_events(read_settings(settings_of("action_lifecycle", "event")), count=20, seed=3)

    assert len({event.values["ActionId"] for event in events}) == 20
    assert {event.values["Status"] for event in events} == {"PENDING"}


def test_what_clears_now_was_tracked_months_ago(read_settings: ReadSettings) -> None:
    """The time of a generated clearing is moved, and the date of it; all its dates stay true to each other."""
    for event in generated_events(read_settings(settings_of("action_clearing", "global")), count=20, seed=3):
        tracked, locked, cleared = (
            datetime.fromisoformat(event.values[name]) for name in ("EventDate", "LockingDate", "ClearedDate")
        )
        assert event.values["Status"] == "APPROVED"
        assert tracked < locked < cleared <= event.at
        assert event.at - cleared < timedelta(seconds=1)


def test_the_fixture_sends_clearings_without_waiting_for_them(read_settings: ReadSettings) -> None:
    with Receiver() as receiver:
        deliveries = EventSender().send(
            read_settings(settings_of("action_clearing", "global")), to=receiver.url, count=3, timeout_s=30
        )

        assert [type(delivery.outcome) for delivery in deliveries] == [Delivered] * 3
        assert len(receiver.captures()) == 3


@pytest.mark.parametrize("kinds", [[], ["job_completion", "action_clearing"]])
def test_a_test_that_would_send_nothing_is_an_error(read_settings: ReadSettings, kinds: list[EventKind]) -> None:
    notification = read_settings(settings_of("action_lifecycle", "global"))

    with pytest.raises(SelectionError, match=r"example.toml reports events of the kind action_lifecycle") as raised:
        EventSender().send(notification, events=map(example_event, kinds))

    assert (", ".join(sorted(kinds)) or "none") in str(raised.value)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[HastyLoop]:
    """The loops that senders run in from now on, whose time can be moved on."""
    made: list[HastyLoop] = []

    def new_loop() -> HastyLoop:
        made.append(HastyLoop())
        return made[-1]

    monkeypatch.setattr("postback_conformance.driving.new_event_loop", new_loop)
    return made


def test_when_its_time_is_over_it_returns_what_ended_and_the_rest_without_outcome(
    read_settings: ReadSettings, loops: list[HastyLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that refuses cannot keep a test waiting for the whole retry schedule."""
    tried: list[object] = []

    def on_attempt(*attempt: object) -> None:
        tried.append(attempt)
        if len(tried) == 2:
            loops[-1].let_pass(60)

    monkeypatch.setattr("postback_conformance.driving.Sender", partial(Sender, on_attempt=on_attempt))
    notification = read_settings('url = "http://127.0.0.1/{ActionId}"\nretry = ["1h"]')
    event = example_event("action_lifecycle")
    events = [replace(event, values={**event.values, "ActionId": name}) for name in ("one", "other")]
    with Receiver() as receiver:
        # One script for all: the first request is welcome, every other is refused.
        receiver.reply(Reply(), Reply(status=503), key=lambda _: "")
        deliveries = EventSender().send(notification, to=receiver.url, events=events, timeout_s=60)

    assert [type(delivery.outcome) for delivery in deliveries] == [Delivered, type(None)]
    assert [len(delivery.attempts) for delivery in deliveries] == [1, 1]


def test_when_its_time_is_over_requests_without_an_answer_are_cut(
    read_settings: ReadSettings, loops: list[HastyLoop]
) -> None:
    patient = read_settings('url = "http://127.0.0.1/?id={ActionId}"\ntimeout = "1h"')

    def hear() -> socket.socket:
        peer, _ = silent.accept()
        peer.settimeout(PATIENCE_S)
        peer.recv(1)
        loops[-1].let_pass(60)
        return peer

    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as thread:
        silent.settimeout(PATIENCE_S)
        heard = thread.submit(hear)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        [delivery] = EventSender().send(patient, to=url, count=1, timeout_s=60)
        heard.result().close()

    assert delivery.outcome is None
    assert [attempt.failure for attempt in delivery.attempts] == [Failure.CUT_OFF]


INTERRUPTED = """
import sys
from postback_conformance.driving import EventSender
from postback_sender import NotificationSource, parse_notification
source = NotificationSource(name="n.toml", text='url = "http://127.0.0.1/"\\ntimeout = "1h"\\nretry = ["1h"]')
EventSender().send(parse_notification(source, None), to=sys.argv[1], count=3, timeout_s=3600)
"""


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b""], ids=["refused", "silent"])
def test_ctrl_c_ends_it_at_once(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        endpoint.settimeout(PATIENCE_S)
        command = [sys.executable, "-c", INTERRUPTED, f"http://127.0.0.1:{endpoint.getsockname()[1]}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process, ExitStack() as stack:
            stack.callback(process.kill)
            peer, _ = endpoint.accept()
            with peer:
                peer.settimeout(PATIENCE_S)
                peer.recv(65_536)
                peer.sendall(answer)
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=PATIENCE_S)

    assert told.rstrip().endswith(b"KeyboardInterrupt")
