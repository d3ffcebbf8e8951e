"""What the tests of rules and reports share: settings read from TOML, and the verdicts of one rule on captures."""

from collections.abc import Callable, Iterable

import pytest

from postback_conformance.judging.judge import judge
from postback_conformance.judging.selection import find_rule
from postback_conformance.judging.verdict import Verdict
from postback_conformance.rules import RULES
from postback_receiver import Capture
from postback_sender.notification import Notification, NotificationSource, parse_notification


def _read(settings: str) -> Notification:
    return parse_notification(NotificationSource(name="example.toml", text=settings), None)


@pytest.fixture(scope="session")
def read_settings() -> Callable[[str], Notification]:
    """Reads the TOML of a notification."""
    return _read


@pytest.fixture(scope="session")
def judged_by() -> Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]:
    """Judges captures by one rule: its id, the settings, the captures in the order of arrival."""

    def verdicts(rule_id: str, settings: str, captures: Iterable[Capture]) -> tuple[Verdict, ...]:
        return judge(captures, _read(settings), [find_rule(RULES, rule_id)]).verdicts

    return verdicts


@pytest.fixture(scope="session")
def posted() -> Callable[[str, bytes], Capture]:
    """Makes the capture of a POST to this target with this body."""
    return lambda target, body: Capture(
        id="a",
        endpoint="/",
        received_at_ns=0,
        monotonic_ns=0,
        body_done_ns=0,
        connection="c1",
        connection_request=1,
        remote="",
        http_version="1.1",
        method="POST",
        target=target,
        headers=(("Host", "localhost"),),
        body=body,
    )
