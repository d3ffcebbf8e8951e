"""All that a postback goes through can be generated: settings, templates, faults, captures; by function or by type."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from postback_conformance import strategies
from postback_conformance.generating.generation import generate
from postback_conformance.hypothesis_types import TYPES
from postback_conformance.receiving.fault_text import parse_fault
from postback_conformance.strategies import (
    captures,
    events,
    fault_scripts,
    faults,
    notification_sources,
    notifications,
    templates,
    wire_texts,
)
from postback_receiver import Capture, Fault, Reply, ReplyScript, capture_to_line, line_to_capture
from postback_sender import Event, Notification, NotificationSource, Template, parse_notification, render_postback

few = settings(max_examples=20, deadline=None)
shrinking = settings(
    max_examples=300, database=None, phases=(Phase.generate, Phase.shrink), derandomize=True, deadline=None
)
short_texts = wire_texts(max_size=20)

ReadSettings = Callable[[str], Notification]


@few
@given(source=notification_sources())
def test_generated_settings_can_be_read(source: NotificationSource) -> None:
    settings_read = parse_notification(source, None)

    assert settings_read.url.source.startswith("http://127.0.0.1:8080/")
    assert (settings_read.body is None) == (settings_read.method == "GET")


@few
@given(data=st.data(), notification=notifications(method="POST", body_format="json"))
def test_generated_settings_render_every_event_of_their_kind(data: st.DataObject, notification: Notification) -> None:
    event = data.draw(events(kind=notification.event, texts=short_texts))

    json.loads(render_postback(notification, event).body)


def test_generated_settings_use_every_key_and_kind() -> None:
    sources = generate(notification_sources(), count=80, seed=1)
    used: set[str] = {key for source in sources for key in tomllib.loads(source.text)}

    assert used == {
        *("event", "url", "method", "body_format", "body", "minimum_delay", "maximum_requests", "retry", "timeout"),
        *("maximum_requests_scope", "level", "success_response", "error_response", "headers"),
    }
    assert len({parse_notification(source, None).event for source in sources}) == 6


def test_settings_shrink_to_the_few_lines_that_matter() -> None:
    source = find(notification_sources(), lambda source: "retry" in tomllib.loads(source.text), settings=shrinking)

    assert source.text.splitlines() == [
        'event = "action_lifecycle"',
        'url = "http://127.0.0.1:8080/"',
        'method = "GET"',
        'retry = "help-centre"',
    ]


@pytest.mark.parametrize("kind", ["action_inquiry", "tracking_value_request", "job_completion", "product_data_change"])
def test_templates_are_there_for_every_kind(kind: str) -> None:
    assert generate(templates(kind=kind), count=5, seed=1)


@few
@given(fault=faults())
def test_a_generated_fault_can_be_written_into_a_file_and_goes_with_a_short_answer(fault: Fault) -> None:
    assert Reply(body=b"accepted", faults=(fault,)).fault == parse_fault(fault.label).label


@few
@given(script=fault_scripts(max_size=3))
def test_a_script_recovers_unless_it_is_told_not_to(script: tuple[Reply, ...]) -> None:
    ReplyScript(script)

    assert 1 <= len(script) <= 3
    assert (script[-1].status, script[-1].faults) == (200, ())


def test_scripts_hang_and_stay_broken_only_where_that_is_asked_for() -> None:
    labels = {
        hanging: {
            reply.fault
            for script in generate(fault_scripts(hanging=hanging, recovers=False), count=200, seed=1)
            for reply in script
        }
        for hanging in (False, True)
    }

    assert labels[True] >= {"never-answer", "accepted-then-lost", "reset", "close mid-body"}
    assert "never-answer" not in labels[False]


def test_a_script_shrinks_to_the_one_fault_that_matters() -> None:
    script = find(
        fault_scripts(), lambda script: any(reply.faults for reply in script) and len(script) > 1, settings=shrinking
    )

    assert [(reply.status, reply.fault) for reply in script] == [(200, "accepted-then-lost"), (200, None)]


@few
@given(capture=captures())
def test_any_capture_survives_its_line(capture: Capture) -> None:
    assert line_to_capture(capture_to_line(capture), number=1) == capture


@few
@given(capture=captures(damaged=False))
def test_an_undamaged_capture_is_whole_answered_and_in_the_order_of_time(capture: Capture) -> None:
    assert capture.answer is not None
    assert capture.malformed is None
    assert (capture.truncated, capture.fault) == (False, None)
    stamps = (capture.connected_ns, capture.monotonic_ns, capture.body_done_ns, capture.answer.sent_ns)
    known = [stamp for stamp in stamps if stamp is not None]
    assert len(known) == 4
    assert known == sorted(known)


def test_captures_are_those_of_a_notification(read_settings: ReadSettings) -> None:
    notification = read_settings("url = 'http://127.0.0.1/p?id={ActionId}&s={Status}'")
    own = captures(notification=notification, events=events(kind="action_lifecycle", texts=short_texts), damaged=False)

    for capture in generate(own, count=10, seed=1):
        assert capture.path == "/p"
        assert capture.query.startswith("id=")


def test_captures_include_what_else_reaches_a_port() -> None:
    drawn = generate(captures(), count=60, seed=1)

    assert any(capture.truncated for capture in drawn)
    assert any(capture.malformed for capture in drawn)
    assert any(capture.fault for capture in drawn)
    assert any(capture.is_unmatched for capture in drawn)


def test_a_capture_shrinks_to_a_bare_request(read_settings: ReadSettings) -> None:
    notification = read_settings("url = 'http://127.0.0.1/'\nmethod = 'POST'\nbody = '{Payout}'")
    told = events(kind="action_lifecycle", texts=short_texts)
    capture = find(
        captures(notification=notification, events=told), lambda capture: bool(capture.body), settings=shrinking
    )

    assert (capture.target, capture.connection, capture.received_at_ns) == ("/", "c1", 1_767_225_600 * 10**9)
    assert capture.body == b"0.01"


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(lambda: notifications(kind="action_clearings"), id="no such kind"),
        pytest.param(lambda: faults(longest_s=0), id="no time"),
        pytest.param(lambda: fault_scripts(max_size=0), id="no reply"),
    ],
)
def test_wrong_options_are_refused_when_a_value_is_drawn(strategy: Callable[[], SearchStrategy[object]]) -> None:
    unused = strategy()

    with pytest.raises(InvalidArgument):
        generate(unused, count=1, seed=0)


@few
@given(event=..., notification=..., template=..., capture=..., fault=...)
def test_types_are_enough_to_get_values(
    event: Event, notification: Notification, template: Template, capture: Capture, fault: Fault
) -> None:
    assert event.values.keys() <= {token.rpartition(".")[2] for token in notification.catalogue.known(event.kind)}
    assert template.nodes == Template.parse(template.source).nodes
    assert capture.id
    assert fault.label


TYPES_ALONE = """
import sys
import hypothesis
from postback_conformance.hypothesis_types import register
register()
register()
ours = sorted(name for name in sys.modules if name.startswith("postback_"))
assert ours == ["postback_conformance", "postback_conformance.hypothesis_types"], ours

from hypothesis import strategies as st
from postback_sender.action import Action
import inspect, postback_sender.action
assert "class Action" in inspect.getsource(postback_sender.action)
assert "postback_conformance.strategies" not in sys.modules
from postback_conformance.generating.generation import generate
assert generate(st.from_type(Action), count=2, seed=1)[0].stage
"""


def test_hypothesis_knows_our_types_and_loads_nothing_of_ours_for_it() -> None:
    """As its entry point has it called: at its own import, in programs that may never use us."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["hypothesis"] == {"postback": "postback_conformance.hypothesis_types:register"}

    subprocess.run([sys.executable, "-c", TYPES_ALONE], check=True, env={"HYPOTHESIS_NO_PLUGINS": "1"})


def test_what_notifications_are_drawn_from_is_made_before_the_first_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making it takes longer than drawing, and on a busy machine Hypothesis' health check would find draws too slow."""
    drawn = strategies.notifications(url="http://127.0.0.1:8099/made-once")
    drawn.validate()

    def too_late(**_: object) -> None:
        raise AssertionError("a template's strategy is made in a draw")

    monkeypatch.setattr("postback_conformance.generating.notification_strategies.templates", too_late)
    assert len(generate(drawn, count=20, seed=1)) == 20


def test_every_registered_type_has_its_strategy() -> None:
    assert {name for types in TYPES.values() for name in types.values()} <= set(strategies.__all__)
