"""Notification files: every key is understood, every slip is one message with its place."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_sender import (
    Notification,
    NotificationSource,
    SenderError,
    example_event,
    parse_notification,
    render_postback,
)
from postback_sender.matcher import ResponseMatcher
from postback_sender.notification import NotificationFile
from postback_sender.quantities import Rate
from postback_sender.tokens import Kind, Token

Settings = Callable[..., Notification]

FULL = """
event = "action_clearing"
url = "http://127.0.0.1:8080/postback?click={RefClickId}&token=${TOKEN}"
method = "POST"
body_format = "json"
body_file = "body.json"
minimum_delay = "2s"
maximum_requests = "5/s"
maximum_requests_scope = "resends"
retry = [0.5, 2, "30s"]
timeout = "10s"
level = "global"
success_response = "OK"
error_response = { status = 500, body_regex = "^ERR" }
[headers]
X-Api-Key = "${PARTNER_KEY}"
[template]
escaping = "context"
unknown_token = "keep"
join_separator = ","
[tokens.Text3]
type = "text"
[tokens.color]
of_items = true
type = "enum"
values = ["red", "green"]
format = "lower case"
meaning = "What it looks like."
example = "green"
may_be_empty = false
[kinds.credited]
like = "action_lifecycle"
meaning = "Points were credited."
[kinds.pinged]
"""


def test_every_documented_key_is_understood() -> None:
    source = NotificationSource(name="n.toml", text=FULL, files={"body.json": '{"id": "{ActionId}"}'})

    read = parse_notification(source, {"PARTNER_KEY": "k", "TOKEN": "t"})

    assert read.event == "action_clearing"
    assert read.headers == (("X-Api-Key", "k"),)
    assert read.minimum_delay_ns == 2_000_000_000
    assert read.maximum_requests == Rate(count=5)
    assert read.retry.delays_ns == (500_000_000, 2_000_000_000, 30_000_000_000)
    assert read.success_response == ResponseMatcher(body_contains="OK")
    assert read.error_response == ResponseMatcher(status=(500,), body_regex="^ERR")
    assert read.body is not None
    assert read.body.names == {"ActionId"}
    assert {"Text3", "*.sku", "*.color", "Payout", "SubId1"} <= read.known_tokens
    assert read.catalogue.find("action_clearing", "color", of_items=True) == Token(
        name="color",
        kinds=frozenset({"action_clearing"}),
        of_items=True,
        type="enum",
        values=("red", "green"),
        format="lower case",
        meaning="What it looks like.",
        example="green",
        may_be_empty=False,
        source="n.toml",
        certainty="own",
    )
    assert read.catalogue.kinds["credited"] == Kind(
        name="credited", like="action_lifecycle", meaning="Points were credited."
    )
    assert read.catalogue.kinds["pinged"].like is None


def test_an_empty_file_is_a_get_to_this_machine() -> None:
    read = parse_notification(NotificationSource(name="n.toml", text=""), {})

    assert (read.method, read.url.source, read.body) == ("GET", "http://127.0.0.1:8080/", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a =", "n.toml: not valid TOML", id="not TOML"),
        pytest.param('\nevnt = "x"', "n.toml, line 2: unknown key 'evnt'; did you mean \"event\"?", id="unknown key"),
        pytest.param(
            '[template]\nescapng = "raw"', "line 2: unknown key 'template.escapng'", id="unknown key in a table"
        ),
        pytest.param('method = "PUT"', 'method: expected one of "GET", "POST", got "PUT"', id="wrong choice"),
        pytest.param('event = "action_clearng"', 'did you mean "action_clearing"?', id="near choice"),
        pytest.param("timeout = true", "timeout: expected number | text | table, got true or false", id="wrong type"),
        pytest.param("timeout = 0", "timeout: expected more than 0", id="no time at all"),
        pytest.param(
            "[headers]\nX = 5", "line 1: headers: expected text, got whole number", id="wrong type in a table"
        ),
        pytest.param('minimum_delay = "2x"', "minimum_delay: expected a duration", id="no duration"),
        pytest.param('maximum_requests = "0/s"', "maximum_requests: expected a rate", id="no rate"),
        pytest.param('url = "http://[x/?t=1"', "url: expected a URL such as http://127.0.0.1/postback", id="no URL"),
        pytest.param('url = "http://u:p@[x/"', "postback, got 'http://[x/'", id="no URL, with a password"),
        pytest.param('url = "{LandingPageUrl}"', "line 1: url: expected a URL", id="a token for a URL"),
        pytest.param('url = "ftp://127.0.0.1/"', "url: expected a URL", id="another scheme"),
        pytest.param('retry = "helpcentre"', 'retry: expected "help-centre"', id="no profile"),
        pytest.param('retry = ["soon"]', "retry: expected a duration", id="no delay"),
        pytest.param(
            'body = "x"\nmethod = "GET"', "line 1: body: a GET carries nothing in the body", id="GET with body"
        ),
        pytest.param('body = "x"\nbody_file = "y"', "line 2: body and body_file are both set", id="two bodies"),
        pytest.param('body_file = "y"', "no file 'y' beside n.toml", id="no body file"),
        pytest.param('body = "{join(items"', "n.toml, body, line 1, column 12", id="template that does not parse"),
        pytest.param('[headers]\nX = "${NOPE}"', "line 2: headers.X: the environment has no NOPE", id="no variable"),
        pytest.param('[headers]\n"a b" = "x"', "'a b' is not a header name", id="header name"),
        pytest.param('[headers]\nX = "a\\nb"', "headers.X: the value holds a line break", id="header value"),
        pytest.param(
            '[headers]\nX-A = "1"\nx-a = "2"', "line 3: headers.x-a: this is X-A once more", id="header twice"
        ),
        pytest.param(
            '[headers]\nContent-Length = "5"', "headers.Content-Length: HTTP itself sets", id="framing header"
        ),
        pytest.param(
            'url = "http://u:p@127.0.0.1/"\n[headers]\nAuthorization = "x"',
            "a user and password already",
            id="two logins",
        ),
        pytest.param(
            'success_response = { body_regex = "a{99999999999}" }', "not a regular expression", id="huge regex"
        ),
        pytest.param("retry = " + "[" * 5000 + "]" * 5000, "n.toml", id="deep list"),
        pytest.param('error_response = { body_regex = "(" }', "error_response.body_regex: not a regular", id="regex"),
        pytest.param("[success_response]\nstatsu = 2", 'did you mean "status"?', id="unknown key of a response"),
        pytest.param('[tokens.X]\ntype = "txt"', 'did you mean "text"?', id="token type"),
        pytest.param(
            '[tokens.X]\nexmaple = "1"', "line 2: unknown key 'tokens.X.exmaple'; did you mean", id="key of a token"
        ),
        pytest.param("[tokens]\nX = 5", "tokens: expected table, got whole number", id="token that is no table"),
        pytest.param('[tokens."a-b"]', "tokens.a-b: no template can write that name", id="token name"),
        pytest.param("[tokens.1st]", "line 1: tokens.1st: no template can write that name", id="digit first"),
        pytest.param('[tokens." X"]', "no template can write that name", id="token name with a blank"),
        pytest.param('[tokens.""]', "no template can write that name", id="token without a name"),
        pytest.param('[tokens."é"]', "no template can write that name", id="token name beyond ASCII"),
        pytest.param('[tokens."i.sku"]', "with of_items = true", id="token name of an item field"),
        pytest.param('[tokens.X]\nvalues = ["a"]', 'write type = "enum"', id="values without an enum"),
        pytest.param(
            '[tokens.X]\ntype = "enum"\nvalues = ["a"]\nexample = "b"',
            "line 1: tokens.X: example: expected one of the values, got 'b'",
            id="example outside of the values",
        ),
        pytest.param("[tokens.X]\nmay_be_empty = false", "a token that is never empty needs one", id="no example"),
        pytest.param('[tokens.X]\ntype = "list"', 'only items has type = "list"', id="another list"),
        pytest.param('[tokens.items]\ntype = "text"', "the list of a join is called items", id="items as a text"),
        pytest.param(
            'event = "creditd"\n[kinds.credited]',
            'line 1: event: expected one of "action_lifecycle"',
            id="kind that is not declared",
        ),
        pytest.param('event = "creditd"\n[kinds.credited]', 'did you mean "credited"?', id="nearest own kind"),
        pytest.param("[kinds.job_completion]", "kinds.job_completion: a documented kind", id="kind that exists"),
        pytest.param('[kinds."a b"]', "kinds.a b: expected a name of ASCII letters", id="kind name"),
        pytest.param('[kinds.x]\nlike = "job_completed"', 'did you mean "job_completion"?', id="like"),
        pytest.param("[kinds.x]\nlike = 5", "line 2: kinds.x.like: expected text, got whole number", id="like type"),
        pytest.param(
            'query_fields = ["ActionId"]', "only an action_inquiry has fields to pick", id="fields of another kind"
        ),
        pytest.param(
            'event = "action_inquiry"\nquery_fields = ["ActionID"]',
            "line 2: query_fields: 'ActionID' is no token of action_inquiry; did you mean \"ActionId\"?",
            id="unknown field",
        ),
        pytest.param(
            'event = "action_inquiry"\nquery_fields = ["Id", "Id"]', "'Id' stands there twice", id="field twice"
        ),
        pytest.param(
            'event = "action_inquiry"\nquery_fields = ["Id"]\nurl = "http://h/?a={ActionId}"',
            "line 3: url: expected no token, since query_fields says what is sent, got {ActionId}",
            id="fields and a token",
        ),
        pytest.param(
            'event = "action_inquiry"\nquery_fields = ["Id"]\nurl = "http://h/${Q}"',
            "a variable cannot bring the ?",
            id="question mark from the environment",
        ),
    ],
)
def test_a_slip_is_one_message_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SenderError) as caught:
        parse_notification(NotificationSource(name="n.toml", text=text), {"Q": "x?token=1"})

    assert message in str(caught.value)


def test_a_secret_with_braces_is_text_and_never_appears_in_an_error() -> None:
    text = 'url = "http://127.0.0.1/?t=${T}"\n[headers]\nX = "${H}"'
    source = NotificationSource(name="n.toml", text=text)

    read = parse_notification(source, {"T": "a{Payout}b", "H": "fine"})
    assert read.url.names == frozenset()
    with pytest.raises(SenderError) as caught:
        parse_notification(source, {"T": "x", "H": "hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("rest", ["{join(items", '{Nope}"\n[template]\nunknown_token = "error"\n#'])
def test_no_error_of_a_template_shows_what_came_from_the_environment(rest: str) -> None:
    text = f'url = "http://127.0.0.1/?t=${{T}}&x={rest}"'.replace('\\"', '"').replace("\\n", "\n")
    source = NotificationSource(name="n.toml", text=text)

    with pytest.raises(SenderError) as caught:
        render_postback(parse_notification(source, {"T": "hunter2"}), example_event("action_lifecycle"))
    assert "${T}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_value_of_the_environment_is_put_in_letter_by_letter() -> None:
    source = NotificationSource(name="n.toml", text='url = "http://127.0.0.1/${A}/x?t=${ B }&u=$1{SubId1}"')

    read = parse_notification(source, {"A": 'a\\"b', "B": "{Payout}"})

    assert read.url.render({"SubId1": "s"}, context="url", known=["SubId1", "Payout"]) == (
        b'http://127.0.0.1/a\\"b/x?t={Payout}&u=$1s'
    )


def test_without_an_environment_variables_stay_as_written() -> None:
    text = 'url = "http://127.0.0.1/?t=${T}"\n[headers]\nX = "${H}"'

    read = parse_notification(NotificationSource(name="n.toml", text=text), None)

    assert read.headers == (("X", "${H}"),)
    assert read.url.render({}, context="url") == b"http://127.0.0.1/?t=${T}"


def test_an_own_kind_has_the_tokens_of_the_one_it_is_like_and_those_that_are_declared(settings: Settings) -> None:
    text = 'event = "credited"\n[tokens.Tier]\n[kinds.credited]\n'

    like, unlike = settings(text + 'like = "job_completion"'), settings(text)

    assert {"Tier", "ResultUri"} <= like.known_tokens
    assert unlike.known_tokens == {"Tier"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://h/p", "http://h/p?Id={Id}&ActionId={ActionId}", id="no query"),
        pytest.param("http://h/p?", "http://h/p?Id={Id}&ActionId={ActionId}", id="empty query"),
        pytest.param("http://h/p?t=${Q}", "http://h/p?t=${Q}&Id={Id}&ActionId={ActionId}", id="query of its own"),
        pytest.param("http://h/p?t=1&#f", "http://h/p?t=1&Id={Id}&ActionId={ActionId}#f", id="fragment"),
    ],
)
def test_picked_fields_become_a_url_template_in_their_order(settings: Settings, url: str, expected: str) -> None:
    text = f'event = "action_inquiry"\nurl = "{url}"\nquery_fields = ["Id", "ActionId"]'

    read = settings(text, Q="se{c}ret")

    assert (read.url.source, read.method) == (expected, "GET")
    assert read.url.names == {"Id", "ActionId"}
    assert read.query_fields == ("Id", "ActionId")


def test_fields_can_be_own_tokens_of_a_kind_like_an_inquiry(settings: Settings) -> None:
    read = settings(
        'event = "asked"\nquery_fields = ["Urgency"]\n[kinds.asked]\nlike = "action_inquiry"\n[tokens.Urgency]'
    )

    assert read.url.source == "http://127.0.0.1:8080/?Urgency={Urgency}"


def test_no_field_picked_leaves_the_url_as_it_is(settings: Settings) -> None:
    assert settings('query_fields = []\nurl = "http://h/?a={ActionId}"').url.source == "http://h/?a={ActionId}"


settings_texts = st.lists(
    st.sampled_from(FULL.splitlines())
    | st.sampled_from(
        [
            'event = "action_inquiry"',
            'event = "credited"',
            'query_fields = ["Id", "color"]',
            "query_fields = 5",
            '[kinds."x.y"]',
            "[kinds]",
            "[tokens.items]",
            'type = "list"',
            "values = [1]",
            "[tokens.Id.x]",
        ]
    )
    | st.text(max_size=20)
    | st.sampled_from(["[headers]", "x = 1", "[tokens]", "[["]),
    max_size=12,
).map("\n".join)


@given(settings_texts)
def test_any_text_is_a_notification_or_our_error(text: str) -> None:
    try:
        read = parse_notification(NotificationSource(name="n.toml", text=text), None)
    except SenderError as error:
        message = str(error)
    else:
        assert isinstance(read, Notification)
        return
    assert message.startswith("n.toml")


def test_the_page_of_the_settings_lists_every_key_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notification.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \|.*?\| ([^|]*) \|[^|]*\|$", page, re.MULTILINE)}
    fields = {field.name: field.default for field in msgspec.structs.fields(NotificationFile)}

    assert rows.keys() == fields.keys()
    for name, default in fields.items():
        if isinstance(default, str):
            assert rows[name] == f"`{default}`"
