"""Lint repeats no secret that a name gives away: not in what it says, not in a diff, not in edits that it shows."""

import json

import pytest

from postback_conformance.lint import fix, lint_source
from postback_conformance.lint.flat import FlatText
from postback_conformance.lint.linting import flat_body, flat_url
from postback_conformance.lint.secret_spans import secret_spans, without
from postback_conformance.lint.spelling import Spelling
from postback_sender import NotificationSource, parse_notification
from postback_sender.notification import Notification

PARTS = ("s3cr", "p\N{CYRILLIC SMALL LETTER A}ss", "%D0%B0ss")


def source_of(body_format: str, template: str) -> NotificationSource:
    """Return settings with a template; all of its secrets begin with one of the parts above."""
    slot = "url" if body_format == "url" else "body"
    text = f'method = "POST"\n{slot} = {json.dumps(template, ensure_ascii=False)}\n'
    return NotificationSource(
        name="n.toml", text=text + (f'body_format = "{body_format}"\n' if slot == "body" else 'body = "1"\n')
    )


def flats(notification: Notification) -> list[FlatText]:
    spelling = Spelling(notification)
    return [flat for flat in (flat_url(notification, spelling), flat_body(notification, spelling)) if flat]


@pytest.mark.parametrize(
    ("body_format", "template"),
    [
        ("url", "http://h/?api_key=p\N{CYRILLIC SMALL LETTER A}ss w%rd&b={payout}"),
        ("url", "http://h/?api%5Fkey=s3cr,{payout},s3cr"),
        ("url", "http://me:s3cr ss@h/?b={payout}"),
        ("url", 'http://h/?token={join(items, i, "s3cr{i.sku}", "s3cr#")}'),
        ("url", 'http://h/?token=s3cr&b={join(items, "x")}'),
        ("url", 'http://h/?token=s3cr{join(items, "x")}'),
        ("query", "token=s3cr;\N{EURO SIGN} s3cr&b={payout}"),
        ("query", "a=1&client_secret=s3cr s3cr&b={payout}"),
        ("json", '{"api_key": "s3cr\\q \\"s3cr", "b": "{payout}", "c" 1}'),
        ("json", '{"api_key": "s3cr, "b": {payout}}'),
        ("json", '{"api_key": s3cr s3cr, "b": "{payout}"}'),
        ("json", "{'api_key': 's3cr', 'b': '{payout}'}"),
        ("json", '{"api_key" "s3cr", "b": {payout}}'),
        ("json", '{"api_key", "s3cr" 1, "b": {payout}}'),
        ("json", '{"password": "ab{s3cr", "b": {payout}}'),
        ("json", '{"api_key", "s3cr{payout}"}'),
        ("json", '{"auth": {"user": "s3cr", "x" "s3cr"}, "keys": 1, "key": ["s3cr" "s3cr"], "b": "{payout}"}'),
        ("json", '{// "api_key": "s3cr"\n"b": "{payout}"}'),
        ("json", '{"b": "{payout}", "u": "http://h/?token=s3cr" "c"}'),
        ("json", '{"a": [{join(items, i, "\\{\\"api_key\\": \\"s3cr\\", \\"s\\": {i.sku}\\}")}]}'),
        ("json", '{"api_key":\n"s3cr", "b": {join(items "x")}}'),
        ("xml", "<a api_key='s3cr & s3cr'><api_key>s3cr & s3cr &copys3cr;</api_key>{payout}</a>"),
        ("xml", "<a><x:token type='1'><![CDATA[s3cr]]></x:token>{payout}<"),
        ("xml", "<a token=s3cr>{payout}</a>"),
    ],
)
def test_a_secret_is_nowhere_in_what_is_shown(body_format: str, template: str) -> None:
    source = source_of(body_format, template)
    findings = [*lint_source(source)]
    shown: list[str] = []
    if findings[0].slug != "template.syntax":
        fixed = fix(parse_notification(source, None))
        findings += [*fixed.findings, *(finding for _, mended in fixed.rounds for finding in mended)]
        notifications = [fixed.notification, *(before for before, _ in fixed.rounds)]
        shown = [flat.shown_source() for notification in notifications for flat in flats(notification)]
    for finding in findings:
        shown += finding.place, finding.message, finding.advice
        shown += [edit.replacement for edit in finding.edits if not edit.is_secret]

    assert findings
    assert not [text for text in shown for part in PARTS if part in text]


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ('{"api_key": "{SubId1}", "b": "token"}', '{"api_key": "{SubId1}", "b": "token"}'),
        ('{"key_visual": "x", "author": "y", "tokens": 2}', '{"key_visual": "x", "author": "y", "tokens": 2}'),
        ('{"token": "a{SubId1}b",\n"b": 1}', '{"token": "[hidden]{SubId1}[hidden]",\n"b": 1}'),
        ('{"token": "a\nb"}', '{"token": "[hidden]\n[hidden]"}'),
    ],
)
def test_what_is_no_secret_is_shown_and_the_lines_stay(template: str, shown: str) -> None:
    *_, flat = flats(parse_notification(source_of("json", template), None))

    assert flat.shown_source() == shown


def test_secrets_beside_and_within_each_other_are_hidden_once() -> None:
    text = "token=secret=a&auth=b c&d=1"

    assert without(text, secret_spans(text, is_query=True)) == "token=[hidden]&auth=[hidden]&d=1"
