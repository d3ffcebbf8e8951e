"""The rules on single values: by the token, whatever key it has, wherever it stands and however it is written there."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from postback_conformance.generating.generation import generate
from postback_conformance.judging.judge import judge
from postback_conformance.judging.verdict import OutcomeName, Verdict
from postback_conformance.rules import field
from postback_conformance.rules.examples import capture
from postback_conformance.strategies import events
from postback_receiver import Capture
from postback_sender.event import Event
from postback_sender.notification import Notification
from postback_sender.postback import render_postback
from postback_sender.tokens import CATALOGUE, EVENT_KINDS

ReadSettings = Callable[[str], Notification]
JudgedBy = Callable[[str, str, Iterable[Capture]], tuple[Verdict, ...]]


def settings_of(token: str, head: str = "") -> str:
    return (
        f"""{head}
url = "http://127.0.0.1/p"
method = "POST"
body_format = "json"
body = '[{{join(items, i, "\\{{\\"n\\": \\"{{i.{token[2:]}}}\\"\\}}")}}]'
"""
        if token.startswith("*.")
        else f"""{head}
url = "http://127.0.0.1/p"
method = "POST"
body_format = "json"
body = '\\{{"the key is mine": "{{{token}}}"\\}}'
"""
    )


def holding(token: str, text: str) -> Capture:
    """Return the capture of a body in which a token, or the field of an item, has a value."""
    body = [{"n": "1.00"}, {"n": text}] if token.startswith("*.") else {"the key is mine": text}
    return capture(json.dumps(body, ensure_ascii=False, separators=(",", ": ")).encode())


VALUES: list[tuple[str, str, Mapping[OutcomeName, list[str]]]] = [
    (
        "field.money",
        "Payout",
        {
            "pass": ["0.00", "12.50", "-0.88", "1234567890123456.78", "100", "32252.1922"],
            "fail": [
                "1,234.56",
                "$50.25",
                "12.50 USD",
                "1e-05",
                "0.30000000000000004",
                "12,50",
                ".50",
                "5.",
                "+1.00",
                "--1.00",
                "007.00",
                " 1.00",
                "1.00\n2.00",
                "Infinity",
                "\N{ARABIC-INDIC DIGIT ONE}.00",
                "12345678901234567.00",
            ],
            # Of a word for nothing another rule tells.
            "not_applicable": ["", "NaN", "null"],
        },
    ),
    ("field.money", "*.amt", {"pass": ["719.10", ""], "fail": ["719,10", "1e3"]}),
    (
        "field.money-decimals",
        "Amount",
        {"pass": ["12.50", "-0.88", "1,2"], "fail": ["12.5", "12", "12.505", "0.30000000000000004"]},
    ),
    ("field.money-decimals", "*.cartamt", {"pass": ["1.00"], "fail": ["1.0"]}),
    ("field.money-sign", "Payout", {"pass": ["0.00"], "fail": ["-0.01", "-0.00"]}),
    ("field.money-sign", "DeltaPayout", {"not_applicable": ["-0.01", "0.01"]}),
    ("field.currency", "Currency", {"pass": ["USD", "KWD"], "fail": ["usd", "US$", "EURO", "$", " USD"]}),
    (
        "field.date",
        "EventDate",
        {
            "pass": ["2026-05-11T00:07:27+03:00", "2020-07-01T23:59:59-05:00", "2026-05-11T00:07:27+05:45"],
            "fail": [
                "2026-05-11T00:07:27Z",
                "2026-05-11T00:07:27",
                "2026-05-11T00:07:27.123+03:00",
                "2026-05-11T00:07:27+0300",
                "2026-05-11 00:07:27+03:00",
                "2026-02-30T00:07:27+03:00",
                "2026-05-11T25:07:27+03:00",
                "2026-05-11",
                "11.05.2026",
                "1778447247",
                "yesterday",
            ],
        },
    ),
    (
        "field.date-midnight",
        "LockingDate",
        {
            "pass": ["2026-06-16T00:00:00+03:00", "2026-04-24T01:00:00+03:00", "no date"],
            "fail": ["2026-06-16T10:42:38+03:00", "2026-06-16T00:00:01+03:00"],
        },
    ),
    (
        "field.status",
        "Status",
        {
            "pass": ["PENDING", "APPROVED", "REVERSED"],
            "fail": ["Pending", "approved", "LOCKED", "PENDING "],
            "inconclusive": ["modified", "MODIFIED"],
            "not_applicable": [""],
        },
    ),
    (
        "field.referring-type",
        "ReferringType",
        {"pass": ["CLICK_COOKIE", "ACTION_INQUIRY"], "fail": ["click_cookie", "CLICK"], "not_applicable": [""]},
    ),
    ("field.id", "CampaignId", {"pass": ["25619"], "fail": ["25 619", "25619.0", "abc", "-1"]}),
    ("field.id", "ActionId", {"not_applicable": ["anything", "10014.4579.3292"]}),
    ("field.country", "RefCustomerCountry", {"pass": ["US", "NO"], "fail": ["us", "USA", "n/a"]}),
    (
        "field.url",
        "LandingPageUrl",
        {
            "pass": ["https://shop.example/?irclickid=a:b-c&irgwc=1", "HTTP://shop.example", "https://shop.example/ü"],
            "fail": ["shop.example", "javascript:alert(1)", "https://", "https:///x", "https://shop.example/a b", "/x"],
        },
    ),
    ("field.quantity", "*.qty", {"pass": ["1", "2.5", "0"], "fail": ["-1", "1e3", "two", "1,000"]}),
    ("field.quantity", "Numeric1", {"pass": ["-1.25"], "fail": ["1,25"]}),
    ("field.length", "*.sku", {"pass": ["x" * 40], "fail": ["x" * 41]}),
    ("field.length", "Oid", {"pass": ["x" * 64], "fail": ["x" * 65]}),
    ("field.present", "ActionId", {"pass": ["1"], "fail": [""]}),
    ("field.present", "SubId1", {"not_applicable": ["", "x"]}),
]
ROWS = [
    (rule, token, text, outcome) for rule, token, texts in VALUES for outcome, each in texts.items() for text in each
]


@pytest.mark.parametrize(
    ("rule", "token", "text", "outcome"), ROWS, ids=[f"{rule} {token} {text!r}" for rule, token, text, _ in ROWS]
)
def test_a_value_has_the_form_of_its_token(
    rule: str, token: str, text: str, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule, settings_of(token), [holding(token, text)])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)
    if outcome == "fail":
        assert verdict.where.token == token
        assert (text or "nothing").startswith(verdict.actual.removesuffix("…"))


OWN = """
[tokens.Grade]
type = "enum"
values = ["A", "B"]
[tokens.Weight]
type = "money"
of_items = true
"""


@pytest.mark.parametrize(
    ("rule", "settings", "arrived", "outcome"),
    [
        ("field.enum", settings_of("Status", 'event = "job_completion"'), holding("Status", "COMPLETED"), "pass"),
        ("field.enum", settings_of("Status", 'event = "job_completion"'), holding("Status", "PENDING"), "fail"),
        ("field.status", settings_of("Status", 'event = "job_completion"'), holding("Status", "x"), "not_applicable"),
        ("field.id", settings_of("Id", 'event = "job_completion"'), holding("Id", "1"), "fail"),
        ("field.url", settings_of("ResultUri", 'event = "job_completion"'), holding("ResultUri", "/Jobs/1"), "pass"),
        ("field.enum", settings_of("Grade") + OWN, holding("Grade", "B"), "pass"),
        ("field.enum", settings_of("Grade") + OWN, holding("Grade", "b"), "fail"),
        ("field.money", settings_of("*.Weight") + OWN, holding("*.Weight", "1kg"), "fail"),
        ("field.money-decimals", settings_of("*.Weight") + OWN, holding("*.Weight", "1.5"), "not_applicable"),
    ],
    ids=[
        "a job has other words",
        "and not those of an action",
        "which is not asked for a job",
        "a job's id is a UUID",
        "its result may be a path",
        "an own list",
        "letter by letter",
        "own money",
        "of own decimals",
    ],
)
def test_the_catalogue_of_the_notification_says_what_a_token_is(
    rule: str, settings: str, arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by(rule, settings, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


URL = "http://127.0.0.1/p"
PLACES = {
    "in a query": (f'url = "{URL}?a=1&geld={{Payout}}&b=2"', capture(method="GET", target="/p?a=1&geld=1%2C5&b=2")),
    "in a path": (f'url = "{URL}/{{Payout}}/x"', capture(method="GET", target="/p/1,5/x")),
    "in a form": (
        f'url = "{URL}"\nmethod = "POST"\nbody_format = "query"\nbody = "x={{Payout}}"',
        capture(b"x=1%2C5"),
    ),
    "in XML": (
        f'url = "{URL}"\nmethod = "POST"\nbody_format = "xml"\nbody = "<a b=\'{{Payout}}\'/>"',
        capture(b"<a b='1&#44;5'/>"),
    ),
    "in CDATA": (
        f'url = "{URL}"\nmethod = "POST"\nbody_format = "xml"\nbody = "<a><![CDATA[{{Payout}}]]></a>"',
        capture(b"<a><![CDATA[1,5]]></a>"),
    ),
    "in JSON, escaped": (settings_of("Payout"), capture(b'{"the key is mine": "1\\u002c5"}')),
    "in JSON, without quotes": (
        f'url = "{URL}"\nmethod = "POST"\nbody = "[{{Payout}}]"',
        capture(b"[1e5]"),
    ),
}


@pytest.mark.parametrize(("settings", "arrived"), PLACES.values(), ids=PLACES.keys())
def test_a_value_is_found_wherever_it_stands(settings: str, arrived: Capture, judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("field.money", settings, [arrived])
    assert (verdict.outcome, verdict.actual.replace("e", ",")) == ("fail", "1,5")
    where = verdict.where
    data = arrived.body if where.span else arrived.target.encode()
    first, beyond = where.span or where.target or (0, 0)
    assert data[first:beyond] in {b"1,5", b"1%2C5", b"1&#44;5", b"1\\u002c5", b"1e5"}


UNSURE = {
    "a token that nobody replaced": (settings_of("Payout"), holding("Payout", "{Payout}"), "not_applicable"),
    "values that are not escaped": (
        settings_of("Payout") + '[template]\nescaping = "raw"\n',
        holding("Payout", "x"),
        "inconclusive",
    ),
    "a value that runs into the next": (
        f'url = "{URL}?a={{Payout}}{{Amount}}"',
        capture(method="GET", target="/p?a=x"),
        "inconclusive",
    ),
    "a body that was cut off": (settings_of("Payout"), capture(b'{"the key', truncated=True), "inconclusive"),
    "a body laid out another way": (settings_of("Payout"), capture(b'{"other": "x"}'), "inconclusive"),
    "items that run into each other": (
        f'url = "{URL}"\nmethod = "POST"\nbody_format = "query"\nbody = "{{join(items, i, \\"{{i.amt}}\\", \\"-\\")}}"',
        capture(b"1-x"),
        "inconclusive",
    ),
    "an order without lines": (settings_of("*.amt"), capture(b"[]"), "not_applicable"),
    "nothing beside a value that another rule blames": (
        f'url = "{URL}?p={{Payout}}&c={{Currency}}"',
        capture(method="GET", target="/p?p=&c=usd"),
        "not_applicable",
    ),
    "no such token": (settings_of("SubId1"), holding("SubId1", "x"), "not_applicable"),
}


@pytest.mark.parametrize(("settings", "arrived", "outcome"), UNSURE.values(), ids=UNSURE.keys())
def test_what_cannot_be_told_is_not_judged(
    settings: str, arrived: Capture, outcome: OutcomeName, judged_by: JudgedBy
) -> None:
    (verdict,) = judged_by("field.money", settings, [arrived])
    assert (verdict.outcome, verdict.message) == (outcome, verdict.message)


def test_every_token_at_fault_is_named_and_of_items_the_first(judged_by: JudgedBy) -> None:
    settings = f"""url = "{URL}?a={{Payout}}&b={{Amount}}"
method = "POST"
body = '[{{join(items, i, "\\{{\\"n\\": \\"{{i.amt}}\\"\\}}")}}]'
"""
    lines = ",".join('{"n": "x"}' for _ in range(1000))
    arrived = capture(f'[{{"n": "1.00"}},{lines}]'.encode(), target="/p?a=x&b=1,5")
    verdicts = judged_by("field.money", settings, [arrived])
    assert [verdict.message for verdict in verdicts] == [
        "{Amount} is '1,5'",
        "{Payout} is 'x'",
        "the amt of item 2 (and that of 999 more) is 'x'",
    ]


def test_a_very_long_value_is_shown_in_part(judged_by: JudgedBy) -> None:
    (verdict,) = judged_by("field.money", settings_of("Payout"), [holding("Payout", "9" * 100_000)])
    assert verdict.outcome == "fail"
    assert len(verdict.message) < 100


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_generated_event_of_every_kind_has_the_forms(kind: str, read_settings: ReadSettings) -> None:
    names = [token.name for token in CATALOGUE.tokens(kind) if token.type != "list"]
    query = "&".join(f"k{number}={{{name}}}" for number, name in enumerate(names))
    fields = ",".join(f'\\"{token.name}\\": \\"{{i.{token.name}}}\\"' for token in CATALOGUE.item_fields(kind))
    notification = read_settings(f"""event = "{kind}"
url = "{URL}?{query}"
method = "POST"
body = '[{{join(items, i, "\\{{{fields}\\}}")}}]'
""")
    arrived: list[Capture] = []
    for event in generate(events(kind=kind), count=8, seed=1):
        sent = render_postback(notification, replace(event, items=event.items[:3]))
        arrived.append(capture(sent.body, target="/" + sent.url.split("/", 3)[3]))
    verdicts = judge(arrived, notification, field.RULES).verdicts
    assert [verdict for verdict in verdicts if verdict.outcome not in {"pass", "not_applicable"}] == []


def test_the_examples_of_the_catalogue_have_the_forms(read_settings: ReadSettings) -> None:
    """The catalogue tells the rules what to expect, and shows what it means."""
    tokens = [token for token in CATALOGUE.tokens("action_lifecycle") if token.example]
    notification = read_settings(f'url = "{URL}?{"&".join(f"{one.name}={{{one.name}}}" for one in tokens)}"')
    values = {token.name: token.example for token in tokens}
    sent = render_postback(
        notification, Event(kind="action_lifecycle", at=datetime(2026, 5, 11, tzinfo=UTC), values=values)
    )
    arrived = capture(method="GET", target="/" + sent.url.split("/", 3)[3])
    verdicts = judge([arrived], notification, field.RULES).verdicts
    assert [verdict for verdict in verdicts if verdict.outcome not in {"pass", "not_applicable"}] == []
