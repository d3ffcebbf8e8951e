"""What an export hides is blamed on nobody, and hides nothing else from the judge."""

import gzip
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.redaction import keyed_hashes, redacted
from postback_conformance.rules import RULES
from postback_conformance.rules.examples import capture
from postback_receiver import Capture
from postback_sender.event import example_event
from postback_sender.notification import BodyFormat, Notification
from postback_sender.postback import CONTENT_TYPES

ReadSettings = Callable[[str], Notification]

HIDE = keyed_hashes(b"0" * 16)
DATE = "2026-05-11T00:07:27+03:00"
JSON = 'url = "http://127.0.0.1/postback"\nmethod = "POST"\nbody_format = "json"\n'
KEY = '{"api_key": %s, "id": "{ActionId}", "date": "{EventDate}"}'
ARRIVED_KEY = '{"api_key": %s, "id": "1000.6705.158133", "date": "' + DATE + '"}'


def outcomes(notification: Notification, arrived: Capture) -> dict[str, Verdict]:
    return {one.rule: one for one in judge([arrived], notification, RULES).verdicts}


def got(target: str) -> Capture:
    return capture(method="GET", target=target, headers=())


def posted(body: str, body_format: BodyFormat = "json") -> Capture:
    return capture(body.encode(), headers=(("Content-Type", CONTENT_TYPES[body_format]),))


LITERAL: dict[str, tuple[str, Capture]] = {
    "a parameter": (
        'url = "http://127.0.0.1/postback?key=hunter2&id={ActionId}&date={EventDate}"\nmethod = "GET"\n',
        got("/postback?key=hunter2&id=1000.6705.158133&date=2026-05-11T00%3A07%3A27%2B03%3A00"),
    ),
    "a text in JSON": (JSON + f"body = '{KEY}'\n" % '"hunter2"', posted(ARRIVED_KEY % '"hunter2"')),
    "a text beside a token": (JSON + f"body = '{KEY}'\n" % '"x-{SubId1}"', posted(ARRIVED_KEY % '"x-y"')),
    "a number in JSON": (JSON + f"body = '{KEY}'\n" % "12345", posted(ARRIVED_KEY % "12345")),
    "a field of a form": (
        JSON.replace("json", "query") + 'body = "token={SubId1}&secret=abc&id={ActionId}"\n',
        posted("token=xyz&secret=abc&id=1000.6705.158133", "query"),
    ),
    "an element": (
        JSON.replace("json", "xml") + 'body = "<a><secret>abc</secret><id>{ActionId}</id></a>"\n',
        posted("<a><secret>abc</secret><id>1000.6705.158133</id></a>", "xml"),
    ),
}


@pytest.mark.parametrize(("text", "arrived"), LITERAL.values(), ids=LITERAL.keys())
def test_a_secret_of_the_template_hides_no_other_value(
    text: str, arrived: Capture, read_settings: ReadSettings
) -> None:
    notification = read_settings(text)
    before, shown = outcomes(notification, arrived), redacted(arrived, HIDE)
    after = outcomes(notification, shown)
    assert shown != arrived
    assert "fail" not in {one.outcome for one in before.values()}
    changed = {rule: after[rule].message for rule in before if after[rule].outcome != before[rule].outcome}
    length = {
        "header.content-length": "a secret of this request was hidden when it was exported, which changed its length"
    }
    assert changed == (length if arrived.body else {})


GZIP = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))


def test_a_secret_in_a_compressed_body_changes_its_length_and_nothing_else(read_settings: ReadSettings) -> None:
    notification = read_settings(JSON + f"body = '{KEY}'\n" % '"hunter2"')
    arrived = capture(gzip.compress((ARRIVED_KEY % '"hunter2"').encode()), headers=GZIP)
    after = outcomes(notification, redacted(arrived, HIDE))
    assert {rule: one.outcome for rule, one in after.items() if one.outcome not in {"pass", "not_applicable"}} == {
        "header.content-length": "inconclusive"
    }


def test_a_body_that_the_export_left_out_is_nobodys_fault(read_settings: ReadSettings) -> None:
    """Neither cut by its sender, who had left before an answer, nor of a wrong length."""
    notification = read_settings(JSON + f"body = '{KEY}'\n" % '"hunter2"')
    arrived = replace(capture(b"\x1f\x8b" + b"x" * 500, headers=GZIP), truncated=True, answer=None, gone_ns=1)
    after = outcomes(notification, redacted(arrived, HIDE))
    assert [rule for rule, one in after.items() if one.outcome == "fail"] == []
    for rule in ("capture.complete", "body.json.well-formed", "header.content-length"):
        assert (after[rule].outcome, "the export left the body out" in after[rule].message) == ("inconclusive", True)


WRONG: dict[str, tuple[str, str, OutcomeName]] = {
    "beside the secret": (KEY % '"hunter2"', ARRIVED_KEY.replace('"date"', '"day"') % '"hunter2"', "fail"),
    "where the secret stood": (KEY.replace("api_key", "key") % '"hunter2"', ARRIVED_KEY % '"hunter2"', "fail"),
    "in a join, where secrets are not looked for": (
        r'[{join(items, i, "\{\"api_key\": \"hunter2\", \"sku\": \"{i.sku}\"\}")}]',
        '[{"api_key": "hunter2", "sku": "1"}]',
        "inconclusive",
    ),
}


@pytest.mark.parametrize(("body", "arrived", "outcome"), WRONG.values(), ids=WRONG.keys())
def test_a_body_that_leaves_its_template_is_told_from_one_with_a_hidden_secret(
    body: str, arrived: str, outcome: OutcomeName, read_settings: ReadSettings
) -> None:
    notification = read_settings(JSON + f"body = '{body}'\n")
    verdict = outcomes(notification, redacted(posted(arrived), HIDE))["body.template-shape"]
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


@pytest.mark.parametrize("kind", ["action_lifecycle", "action_clearing", "action_inquiry", "job_completion"])
@pytest.mark.parametrize("body_format", ["json", "xml", "query"])
def test_a_hidden_value_breaks_no_rule(kind: str, body_format: BodyFormat, read_settings: ReadSettings) -> None:
    """Every token there is, each under a name that says it is a secret."""
    lead = f'event = "{kind}"\n' + JSON.replace("json", body_format)
    names = [token.name for token in read_settings(lead + 'body = "{ActionId}"\n').catalogue.tokens(kind)]
    keys = {name: f"f{number}_token" for number, name in enumerate(names)}
    match body_format:
        case "json":
            body = "{" + ", ".join(f'"{key}": "{{{name}}}"' for name, key in keys.items()) + "}"
        case "xml":
            body = "<a>" + "".join(f"<{key}>{{{name}}}</{key}>" for name, key in keys.items()) + "</a>"
        case "query":
            body = "&".join(f"{key}={{{name}}}" for name, key in keys.items())
    notification = read_settings(f"{lead}body = '''{body}'''\n")
    assert notification.body is not None
    known, event = notification.known_tokens, example_event(kind, notification.catalogue)
    sent = notification.body.render(event.values, context=body_format, items=event.items, known=known)
    arrived = posted(sent.decode(), body_format)
    before, after = outcomes(notification, arrived), outcomes(notification, redacted(arrived, HIDE))
    accused = {rule: one.message for rule, one in after.items() if one.outcome == "fail" != before[rule].outcome}
    assert accused == {}
    assert {one.outcome for one in after.values()} <= {"pass", "fail", "inconclusive", "not_applicable"}
