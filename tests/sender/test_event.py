"""An event survives its NDJSON line, and a line that is not an event gets one clear message."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender.event import Event, EventFormatError, decode_event, encode_event, example_event, read_events
from postback_sender.tokens import CATALOGUE, EVENT_KINDS, Catalogue, EventKind, Kind, Token

AT = datetime.fromisoformat("2026-05-11T00:07:27+03:00")

texts = st.text(st.characters(codec="utf-8"))
texts_by_name = st.dictionaries(texts, texts, max_size=5)
# To the second: historical offsets are that odd, and Python itself loses fractions of a second.
offsets = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
some_events = st.builds(
    Event,
    kind=st.sampled_from(EVENT_KINDS),
    at=st.datetimes(timezones=offsets),
    values=texts_by_name,
    items=st.lists(texts_by_name, max_size=3).map(tuple),
)


def decode(line: bytes) -> Event:
    return decode_event(line, number=7, source="events.ndjson")


@given(event=some_events)
def test_decoding_undoes_encoding(event: Event) -> None:
    """Whatever the texts hold, and to the microsecond and the offset."""
    decoded = decode(encode_event(event))

    assert decoded == event
    assert decoded.at.utcoffset() == event.at.utcoffset()


@given(event=some_events)
def test_an_event_is_one_line(event: Event) -> None:
    line = encode_event(event)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_the_line_has_the_published_shape() -> None:
    event = Event(kind="action_lifecycle", at=AT, values={"Payout": "0.88"}, items=({"sku": "APP-0016"},))

    assert encode_event(event) == (
        b'{"event":"action_lifecycle","at":"2026-05-11T00:07:27+03:00",'
        b'"values":{"Payout":"0.88"},"items":[{"sku":"APP-0016"}]}\n'
    )


nearly_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*EVENT_KINDS, AT.isoformat()]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "at", "values", "items", "Payout"]) | st.text(), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(line=st.binary() | nearly_json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_an_event_or_our_error(line: bytes) -> None:
    try:
        event = decode(line)
    except EventFormatError as error:
        assert str(error).startswith("events.ndjson, line 7")  # noqa: PT017 - either outcome is fine
        str(error).encode()
    else:
        assert decode(encode_event(event)) == event


@pytest.mark.parametrize("line", [b"[" * 100_000, b"1" * 5000, b"NaN", b"\xef\xbb\xbf{}", b"", b"\x00"])
def test_hostile_lines_get_our_error(line: bytes) -> None:
    with pytest.raises(EventFormatError):
        decode(line)


def line_with(**changes: object) -> bytes:
    fields: dict[str, object] = {"event": "action_lifecycle", "at": AT.isoformat(), "values": {}, "items": []}
    return json.dumps(fields | changes).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"\xff", "expected UTF-8, got the byte 0xff at offset 0", id="not UTF-8"),
        pytest.param(b"[]", "expected an object with event, at and values, got a list", id="not an object"),
        pytest.param(b'{"event": "job_completion"}', "expected the key at, got only event", id="key missing"),
        pytest.param(
            line_with(vlaues={}),
            '/vlaues: expected one of the keys event, at, values and items, got "vlaues"; did you mean "values"?',
            id="unknown key",
        ),
        pytest.param(
            line_with(event="action_clear"),
            "/event: expected one of action_lifecycle, action_clearing, action_inquiry, tracking_value_request, "
            'job_completion, product_data_change, got "action_clear"; did you mean "action_clearing"?',
            id="unknown kind",
        ),
        pytest.param(
            line_with(at="2026-05-11T00:07:27"),
            "/at: expected an ISO 8601 time with an offset, such as 2026-05-11T00:07:27+03:00, "
            'got "2026-05-11T00:07:27"; add the offset, such as +00:00',
            id="time without offset",
        ),
        pytest.param(
            b'{"event": "action_lifecycle", "at": "2026-05-11T00:07:27Z", "values": {"Payout": 0.880}}',
            '/values/Payout: expected a text in quotes, got the number 0.880; write it in quotes: "0.880"',
            id="number: shown as it was written",
        ),
        pytest.param(
            line_with(items=[{}, {"sku": None}]), "/items/1/sku: expected a text in quotes, got null", id="null"
        ),
        pytest.param(
            line_with(values={"a/b~c": "x\ud800"}),
            "/values/a~1b~0c: expected text that UTF-8 can carry, got half a character, the lone surrogate U+D800; "
            "write both halves of the pair, or the character itself",
            id="lone surrogate, in a key that needs escapes",
        ),
        pytest.param(
            b'{"event": "action_lifecycle", "event": "action_clearing"}',
            'expected each key once, got "event" twice in one object',
            id="repeated key",
        ),
    ],
)
def test_the_message_names_place_expectation_and_finding(line: bytes, message: str) -> None:
    with pytest.raises(EventFormatError) as caught:
        decode(line)

    joint = ", " if message.startswith("/") else ": "
    assert str(caught.value) == f"events.ndjson, line 7{joint}{message}"


def test_the_error_carries_its_parts_for_machines() -> None:
    with pytest.raises(EventFormatError) as caught:
        decode(line_with(values=[]))

    error = caught.value
    assert (error.source, error.line, error.pointer) == ("events.ndjson", 7, "/values")
    assert (error.expected, error.got) == ("an object of texts", "a list")


def test_reading_skips_blank_lines_and_still_counts_them() -> None:
    event = example_event("action_lifecycle")
    lines = [b"\n", encode_event(event), b"  \r\n", b"{}"]

    reader = read_events(lines, source="events.ndjson")

    assert next(reader) == event
    with pytest.raises(EventFormatError, match=r"events\.ndjson, line 4"):
        next(reader)


def test_an_event_needs_a_time_with_an_offset() -> None:
    with pytest.raises(ValueError, match="a time with an offset"):
        Event(kind="job_completion", at=AT.replace(tzinfo=None), values={})


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_each_kind_has_an_example_made_of_catalogue_names(kind: EventKind) -> None:
    event = example_event(kind)

    assert decode(encode_event(event)) == event
    assert event.values.keys() <= {token.name for token in CATALOGUE.tokens(kind)}
    assert all(item.keys() <= {field.name for field in CATALOGUE.item_fields(kind)} for item in event.items)
    assert all(
        datetime.fromisoformat(event.values[name]) <= event.at for name in ("EventDate",) if name in event.values
    )


@pytest.mark.parametrize("kind", ["action_lifecycle", "action_clearing"])
def test_the_example_action_agrees_with_itself(kind: EventKind) -> None:
    event = example_event(kind)

    assert len(event.items) == 3
    assert sum(Decimal(item["amt"]) for item in event.items) == Decimal(event.values["Amount"])
    assert event.values["DeltaPayout"] == event.values["Payout"] == event.values["IntendedPayout"]
    assert event.values["RefClickId"] in event.values["LandingPageUrl"]
    campaign, day, _ = event.values["ActionId"].split(".")
    event_day = datetime.fromisoformat(event.values["EventDate"]).replace(tzinfo=None) - datetime(2008, 1, 1)  # noqa: DTZ001
    assert (campaign, int(day)) == (event.values["CampaignId"], event_day.days)


def test_the_clearing_example_is_approved_and_cleared() -> None:
    event = example_event("action_clearing")

    assert event.values["Status"] == "APPROVED"
    assert event.values["ClearedDate"] == event.at.isoformat()


OWN_KINDS = Catalogue(
    [
        Token(
            name="Status",
            kinds=frozenset({"credited", "pinged"}),
            type="text",
            meaning="",
            example="GIVEN",
            source="n.toml",
            certainty="own",
        ),
        Token(
            name="sku",
            of_items=True,
            kinds=frozenset({"credited", "pinged"}),
            type="text",
            meaning="",
            example="A",
            source="n.toml",
            certainty="own",
        ),
    ],
    [Kind(name="credited", like="action_clearing"), Kind(name="pinged", like=None)],
    over=CATALOGUE,
)


def test_a_kind_of_somebodys_own_is_read_when_it_is_named() -> None:
    line = line_with(event="credited")

    assert decode_event(line, number=1, source="e", kinds=OWN_KINDS.kinds).kind == "credited"
    assert next(read_events([line], source="e", kinds=OWN_KINDS.kinds)).kind == "credited"
    with pytest.raises(EventFormatError, match="expected one of action_lifecycle"):
        decode(line)


def test_the_nearest_kind_may_be_ones_own() -> None:
    with pytest.raises(EventFormatError, match='pinged, got "pingd"; did you mean "pinged"'):
        decode_event(line_with(event="pingd"), number=1, source="e", kinds=OWN_KINDS.kinds)


def test_the_example_of_an_own_kind_is_told_like_the_one_it_resembles_with_its_own_tokens() -> None:
    event, like = example_event("credited", OWN_KINDS), example_event("action_clearing")

    assert event.kind == "credited"
    assert (event.at, event.values) == (like.at, {**like.values, "Status": "GIVEN"})
    assert event.items == tuple({**item, "sku": "A"} for item in like.items)


def test_the_example_of_an_own_kind_like_no_other_has_what_was_declared() -> None:
    event = example_event("pinged", OWN_KINDS)

    assert (event.values, event.items) == ({"Status": "GIVEN"}, ({"sku": "A"},))
