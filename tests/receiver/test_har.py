"""HTTP archives give back what was recorded, read what browsers and proxies write, and refuse the rest by its place."""

import base64
import copy
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from json_schema import Schema
from postback_receiver import Answer, Capture, HarFormatError, Tls, read_har, write_har

# As browsers write them: HTTP/2 with its pseudo-headers, an offset, milliseconds.
CHROME: dict[str, Any] = {
    "startedDateTime": "2026-05-11T00:07:27.123+03:00",
    "time": 12.5,
    "connection": "443",
    "request": {
        "method": "POST",
        "url": "https://hooks.example/postback?click=x&bare&e=%C3%A9#part",
        "httpVersion": "http/2.0",
        "headers": [
            {"name": ":authority", "value": "hooks.example"},
            {"name": ":method", "value": "POST"},
            {"name": "content-length", "value": "9"},
            {"name": "content-type", "value": "application/json"},
        ],
        "postData": {"mimeType": "application/json", "text": '{"a":"é"}'},
        "bodySize": 10,
    },
    "response": {"status": 204, "headers": [{"name": "server", "value": "x"}], "content": {"size": 0, "mimeType": ""}},
}


def archive(*entries: object) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}}).encode()


def changed(path: str, value: object) -> dict[str, Any]:
    """The entry with another value at a path such as `request/url`."""
    entry = copy.deepcopy(CHROME)
    *parents, last = path.split("/")
    place = entry
    for parent in parents:
        place = place[parent]
    place[last] = value
    return entry


def sent(body: bytes, **post_data: object) -> Capture:
    entry = changed("request/headers", [{"name": "Content-Length", "value": str(len(body))}])
    entry["request"]["postData"] = post_data
    [capture] = read_har(archive(entry))
    return capture


@settings(max_examples=30)
@given(data=st.data())
def test_captures_written_and_read_are_the_same_captures(
    any_capture: SearchStrategy[Capture], data: st.DataObject
) -> None:
    captures = data.draw(st.lists(any_capture, max_size=3))
    written = b"".join(write_har(captures))
    assert read_har(written) == sorted(captures, key=lambda one: one.received_at_ns)
    HAR_1_2.accept(json.loads(written))


@settings(max_examples=30)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(archive)
)
@example(b"[" * 100_000)
@example(b'{"log":' * 100_000)
@example(b'{"log": {"entries": [{"request": {"url": "\\ud800"}}]}}')
def test_any_bytes_are_captures_or_our_error(data: bytes) -> None:
    with suppress(HarFormatError):
        assert read_har(data) == []


@settings(max_examples=30)
@given(data=st.data())
def test_a_damaged_archive_is_captures_or_our_error(any_capture: SearchStrategy[Capture], data: st.DataObject) -> None:
    text = bytearray(b"".join(write_har([data.draw(any_capture)])))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(HarFormatError):
        read_har(bytes(text))


def test_what_a_browser_saved_becomes_the_request_it_sent() -> None:
    [capture] = read_har(b"\xef\xbb\xbf" + archive(CHROME))
    assert (capture.method, capture.target, capture.http_version) == ("POST", "/postback?click=x&bare&e=%C3%A9", "2.0")
    assert capture.headers == (
        ("Host", "hooks.example"),
        ("content-length", "9"),
        ("content-type", "application/json"),
    )
    assert capture.received_at_ns == 1_778_447_247_123_000_000
    assert capture.answer == Answer(
        status=204, headers=(("server", "x"),), sent_at_ns=capture.received_at_ns + 12_500_000
    )
    assert (capture.id, capture.connection, capture.connection_request) == ("har-1", "443", 1)


@pytest.mark.parametrize(
    ("body", "post_data"),
    [
        pytest.param(b'{"a": "\xc3\xa9"}', {"text": '{"a": "é"}'}, id="text"),
        pytest.param(b"\xff\x00", {"text": "/wA=", "encoding": "base64"}, id="base64"),
        pytest.param(b"\xff\x00", {"text": "/wA=", "_encoding": "base64"}, id="base64 by its private name"),
        pytest.param(
            b"a=1&b=x+y&c=%C3%A9&d=",
            {
                "mimeType": "application/x-www-form-urlencoded; charset=utf-8",
                "params": [
                    {"name": "a", "value": "1"},
                    {"name": "b", "value": "x y"},
                    {"name": "c", "value": "é"},
                    {"name": "d"},
                ],
            },
            id="form fields only",
        ),
        pytest.param(b"a=%31", {"text": "a=%31", "params": [{"name": "a", "value": "1"}]}, id="the text is exact"),
    ],
)
def test_a_body_is_read_however_it_was_saved(body: bytes, post_data: dict[str, object]) -> None:
    capture = sent(body, **post_data)
    assert (capture.body, capture.truncated) == (body, False)


@pytest.mark.parametrize(
    ("length", "post_data"),
    [
        pytest.param(3, {"mimeType": "multipart/form-data", "params": [{"name": "a", "value": "1"}]}, id="multipart"),
        pytest.param(5, {"text": "é"}, id="decoded from another charset or decompressed"),
        pytest.param(5, {}, id="left out"),
    ],
)
def test_a_body_that_is_not_what_was_sent_is_marked(length: int, post_data: dict[str, object]) -> None:
    assert sent(b"x" * length, **post_data).truncated


def test_bodies_that_are_not_utf8_are_written_as_base64(new_capture: Callable[[str], Capture]) -> None:
    answer = Answer(status=200, body=b"\xfe")
    capture = replace(new_capture("a"), body=b"\xff\x00", answer=answer)
    [entry] = json.loads(b"".join(write_har([capture])))["log"]["entries"]
    assert entry["request"]["postData"] == {"mimeType": "", "text": "/wA=", "encoding": "base64"}
    assert base64.b64decode(entry["response"]["content"]["text"]) == answer.body
    assert entry["request"]["url"] == "http://localhost/postback?click=x"


TEXT, NUMBER = {"type": "string"}, {"type": "number", "minimum": 0}
PAIRS = {
    "type": "array",
    "items": {"type": "object", "required": ["name", "value"], "properties": {"name": TEXT, "value": TEXT}},
}
MESSAGE: dict[str, Any] = {
    "httpVersion": TEXT | {"minLength": 1},
    "cookies": {"type": "array"},
    "headers": PAIRS,
    "headersSize": {"const": -1},
    "bodySize": NUMBER,
}


def all_of(properties: dict[str, Any], **optional: object) -> dict[str, Any]:
    """An object with these members, perhaps others that are known, and those whose names begin with an underscore."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties | optional,
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
    }


# What the specification demands, what Chrome's importer refuses to go without, and what mitmproxy's cannot read.
HAR_1_2 = Schema(
    all_of(
        {
            "log": all_of(
                {
                    "version": {"const": "1.2"},
                    "creator": all_of({"name": TEXT, "version": TEXT}),
                    "entries": {
                        "type": "array",
                        "items": all_of(
                            {
                                "startedDateTime": TEXT | {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$"},
                                "time": NUMBER,
                                "request": all_of(
                                    MESSAGE
                                    | {
                                        "method": TEXT,
                                        "url": TEXT
                                        | {"pattern": r"^(?i:https?)://[A-Za-z0-9_.:\[\]-]+(/[!-~]*|[?#][!-~]*)?$"},
                                        "queryString": PAIRS,
                                    },
                                    postData=all_of({"mimeType": TEXT, "text": TEXT}, encoding={"const": "base64"}),
                                ),
                                "response": all_of(
                                    MESSAGE
                                    | {
                                        "status": NUMBER,
                                        "statusText": TEXT,
                                        "redirectURL": TEXT,
                                        "content": all_of(
                                            {"size": NUMBER, "mimeType": TEXT, "text": TEXT},
                                            encoding={"const": "base64"},
                                        ),
                                    }
                                ),
                                "cache": {"const": {}},
                                "timings": all_of({"send": NUMBER, "wait": NUMBER, "receive": NUMBER}),
                            },
                            connection=TEXT,
                            comment=TEXT,
                        ),
                    },
                }
            )
        }
    )
)


def test_times_and_troubles_are_told_in_what_har_has_for_them(new_capture: Callable[[str], Capture]) -> None:
    stamps = {"monotonic_ns": 5_000_000, "body_done_ns": 7_000_000}
    answered = replace(new_capture("a"), **stamps, answer=Answer(status=200, sent_at_ns=1, sent_ns=10_000_000))
    broken = replace(
        new_capture("b"), malformed="no HTTP", method="", target="", http_version="", truncated=True, fault="rst"
    )
    secure = replace(
        new_capture("c"), tls=Tls(version="TLSv1.3", cipher="x"), headers=(("Host", "shop.example:70000"),)
    )
    first, second, third = json.loads(b"".join(write_har([answered, broken, secure])))["log"]["entries"]
    assert first["timings"] == {"send": 2, "wait": 3, "receive": 0}
    assert first["time"] == 5
    assert second["comment"] == "malformed: no HTTP; truncated: the body is not all here; fault: rst"
    assert third["request"]["url"] == "https://localhost/postback?click=x"


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("my_shop.example:8080", "my_shop.example:8080"),
        ("[::1]:80", "[::1]:80"),
        *((host, "localhost") for host in ("", "a b", "a..b", "h:70000", "[:::]", "x" * 64, "\xe9", "h/x")),
    ],
)
def test_an_url_names_the_host_only_where_readers_can_take_it(
    new_capture: Callable[[str], Capture], host: str, server: str
) -> None:
    [entry] = json.loads(b"".join(write_har([replace(new_capture("a"), headers=(("Host", host),))])))["log"]["entries"]
    assert entry["request"]["url"] == f"http://{server}/postback?click=x"


def test_entries_come_in_the_order_of_their_times_and_other_schemes_are_passed_over() -> None:
    late, early = changed("request/url", "http://h/late"), changed("startedDateTime", "2026-05-10T00:00:00Z")
    websocket, data = changed("request/url", "wss://h/x"), changed("request/url", "data:text/plain,x")
    assert [one.id for one in read_har(archive(late, websocket, data, early))] == ["har-4", "har-1"]


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("request/url", 7, "/log/entries/1/request/url (entry 2): expected a text, got 7"),
        ("request/url", "postback", "/log/entries/1/request/url (entry 2): expected a URL with http or https"),
        ("request/headers", [{"name": "a"}], "/log/entries/1/request/headers/0/value (entry 2): expected a value"),
        ("request/headers", {}, "/log/entries/1/request/headers (entry 2): expected an array"),
        ("startedDateTime", "2026-05-11T00:07:27", "/log/entries/1/startedDateTime (entry 2): expected a time with an"),
        ("startedDateTime", "2026-02-30T00:00:00Z", "/log/entries/1/startedDateTime"),
        ("startedDateTime", "1500-01-01T00:00:00Z", "between the years 1678 and 2262"),
        ("request/postData", {"text": "?", "encoding": "base64"}, "/log/entries/1/request/postData/text"),
        ("request/postData", {"text": "", "encoding": "rot13"}, "expected base64"),
        ("response/status", 1.5, "/log/entries/1/response/status"),
        ("_postback", {"id": 7}, "/log/entries/1/_postback"),
    ],
)
def test_the_error_names_the_entry_and_the_place(path: str, value: object, complaint: str) -> None:
    with pytest.raises(HarFormatError) as caught:
        read_har(archive(CHROME, changed(path, value)))
    assert complaint in str(caught.value)
    assert caught.value.pointer.startswith("/log/entries/1/")


@pytest.mark.parametrize(
    ("data", "byte", "complaint"),
    [
        pytest.param(b'{"log": NaN}', 8, "at byte 8: expected JSON, got 'NaN}'", id="not a number"),
        pytest.param(b'\xef\xbb\xbf{"log": NaN}', 11, "at byte 11: expected JSON, got 'NaN}'", id="behind a mark"),
        pytest.param(b'{"log": {"ent', 13, "at byte 13: expected the rest of the JSON", id="cut"),
        pytest.param(b'{"log": "\xff"}', 9, "at byte 9: expected JSON, got the byte 0xff", id="no UTF-8"),
    ],
)
def test_a_file_that_is_no_json_names_the_byte(data: bytes, byte: int, complaint: str) -> None:
    with pytest.raises(HarFormatError) as caught:
        read_har(data)
    assert (caught.value.byte, caught.value.entry) == (byte, None)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "http://::1/", "http://host:port/", "http:///p"])
def test_a_url_without_a_server_is_an_error_of_the_archive(url: str) -> None:
    """It is not judged: nobody sent such a request."""
    with pytest.raises(HarFormatError) as caught:
        read_har(archive(CHROME, changed("request/url", url)))
    assert (caught.value.entry, caught.value.pointer) == (2, "/log/entries/1/request/url")


@pytest.mark.parametrize(("data", "pointer"), [(b"[]", ""), (b"{}", "/log"), (b'{"log": {}}', "/log/entries")])
def test_what_is_no_archive_is_told(data: bytes, pointer: str) -> None:
    with pytest.raises(HarFormatError) as caught:
        read_har(data)
    assert caught.value.pointer == pointer
