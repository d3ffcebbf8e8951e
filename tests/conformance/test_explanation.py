"""An explanation tells of every value of a request, and nothing that is not in it."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.explaining.explanation import Part, WrittenValue, explain, pieces
from postback_conformance.strategies import events, wire_texts
from postback_sender import Event, Notification, render_postback
from postback_sender.template.context import Context

ReadSettings = Callable[[str], Notification]

URL = "http://127.0.0.1/{ActionId}/p?a={SubId1}&b={Nope}&c={payout}"
BODIES = {
    "json": (
        '[{Payout}, "{SubId1}{Text1}", "{Nope}", "{payout}", {join(items, i, "[{i.qty}, \\"{i.sku}{Nope}\\"]", ";")}]'
    ),
    "query": "a={SubId1}&{Text1}={no.thing}{join(things, i, '')}{join(items, i, \"&sku={i.sku}\")}&x={De\nlta}",
    "xml": "<a b='{SubId1}'>{Text1}<![CDATA[{SubId2}]]>{join(items, j, \"<i>{j.SKU}{i.sku}{Payout}</i>\")}</a>",
}
BODIES["query"] = BODIES["query"].replace("''", '""')
OPTIONS = [
    f"escaping = '{escaping}'\nunknown_token = '{unknown}'\nname_case = '{case}'"
    for escaping, unknown, case in product(("context", "raw"), ("keep", "empty"), ("exact", "ignore"))
]


def notification_text(body_format: str, body: str, options: str = "") -> str:
    return (
        f"url = '{URL}'\nmethod = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''\n[template]\n{options}\n"
    )


@pytest.mark.parametrize("body_format", BODIES)
@settings(max_examples=15, deadline=None)
@given(event=events(kind="action_lifecycle", texts=wire_texts(max_size=40)), options=st.sampled_from(OPTIONS))
def test_its_pieces_put_together_are_the_request(
    body_format: str, event: Event, options: str, read_settings: ReadSettings
) -> None:
    notification = read_settings(notification_text(body_format, BODIES[body_format], options))
    postback = render_postback(notification, event)
    whole: dict[Part, bytes] = {"url": postback.url.encode(), "body": postback.body}

    for part, text in whole.items():
        told = list(pieces(notification, event, part))
        assert "".join(piece if isinstance(piece, str) else piece.written for piece in told).encode() == text
        for piece in told:
            if isinstance(piece, WrittenValue):
                assert text[slice(*piece.span)] == piece.written.encode()


def explained(notification: Notification, event: Event) -> dict[str, WrittenValue]:
    return {f"{value.part} {value.token}": value for value in explain(notification, event)}


def test_it_says_what_escaping_did_what_is_absent_and_what_nobody_knows(
    read_settings: ReadSettings, tracked: Event
) -> None:
    body = '{"a": "{SubId1}",\n "b": {Text1}, "c": "{Nope}", "d": "{Own}"}'
    found = explained(read_settings(notification_text("json", body)), tracked)

    assert (found["url SubId1"].value, found["url SubId1"].written) == ('a "b"', "a%20%22b%22")
    assert found["url SubId1"].context is Context.URL_QUERY
    assert found["body SubId1"].written == 'a \\"b\\"'
    assert found["body SubId1"].changed
    assert (found["body Text1"].line, found["body Text1"].column) == (2, 7)
    assert (found["body Text1"].absent, found["body Text1"].written) == (True, '""')
    assert (found["body Nope"].absent, found["body Nope"].known, found["body Nope"].changed) == (True, False, False)
    assert found["body Nope"].written == "{Nope}"
    assert (found["body Own"].absent, found["body Own"].known) == (False, False)


def test_in_raw_mode_nothing_is_escaped(read_settings: ReadSettings, tracked: Event) -> None:
    found = explained(read_settings(notification_text("json", '["{SubId1}"]', "escaping = 'raw'")), tracked)

    assert found["body SubId1"].context is Context.RAW
    assert not found["body SubId1"].changed
    # But a request line cannot hold a blank, whoever writes it.
    assert found["url SubId1"].written == 'a%20"b"'


def test_items_are_numbered(read_settings: ReadSettings, tracked: Event) -> None:
    settings_text = notification_text("json", '[{join(items, i, "\\"{i.sku} {SubId1}\\"")}]')
    values = [value for value in explain(read_settings(settings_text), tracked) if value.part == "body"]

    assert [(value.item, value.token, value.value) for value in values] == [
        (1, "i.sku", "A-1"),
        (1, "SubId1", 'a "b"'),
        (2, "i.sku", "B-2"),
        (2, "SubId1", 'a "b"'),
    ]


@pytest.fixture
def tracked() -> Event:
    return Event(
        kind="action_lifecycle",
        at=datetime(2026, 5, 11, tzinfo=UTC),
        values={"ActionId": "1.2.3", "SubId1": 'a "b"', "Own": "x"},
        items=({"sku": "A-1"}, {"sku": "B-2"}),
    )
