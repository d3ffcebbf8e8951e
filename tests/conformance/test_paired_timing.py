"""The sender and the receiver as a pair: what the one sends by its limits, the other's rules do not find too much.

Real sockets and the clocks of this machine; the same is shown over virtual time in `test_timing_rules`.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest

from postback_conformance.driving import EventSender
from postback_conformance.judging.verdict import Verdict
from postback_receiver import Capture, Receiver, Reply
from postback_sender import Event, Notification

JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]
ReadSettings = Callable[[str], Notification]

COUNT = 60
TEMPLATE = 'method = "POST"\nbody = \'{"id": "{ActionId}", "date": "{EventDate}"}\'\n'


@pytest.mark.parametrize("scope", ["all", "resends"])
def test_a_sender_under_load_keeps_to_its_maximum_as_its_receiver_judges(
    scope: str, read_settings: ReadSettings, judged_by: JudgedBy
) -> None:
    """Every postback is refused once and sent again at once, so that there is a backlog of resends, too."""
    at = datetime.now(UTC).replace(microsecond=0)
    limits = (
        f'maximum_requests = "{COUNT}/s"\nmaximum_requests_scope = "{scope}"\nretry = [0]\nminimum_delay = "500ms"\n'
    )
    with Receiver() as receiver:
        receiver.reply(Reply(status=503), Reply(status=200))
        settings = f'url = "{receiver.url}/p"\n{TEMPLATE}{limits}'
        events = [
            Event(kind="action_lifecycle", at=at, values={"ActionId": f"1.2.{number}", "EventDate": at.isoformat()})
            for number in range(COUNT)
        ]
        deliveries = EventSender().send(read_settings(settings), events=events)
        captures = receiver.captures()

    assert [len(delivery.attempts) for delivery in deliveries] == [2] * COUNT
    outcomes = {
        rule: {verdict.outcome for verdict in judged_by(f"delivery.{rule}", settings, captures)}
        for rule in ("maximum-requests", "minimum-delay", "retry-gap")
    }
    # Held, or too close to tell: a busy machine stamps late, and an event date in whole seconds is coarse.
    assert all(each <= {"pass", "inconclusive"} for each in outcomes.values()), outcomes
    assert min(capture.received_at_ns for capture in captures) >= int(at.timestamp()) * 10**9 + 500_000_000
