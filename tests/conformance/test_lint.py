"""Lint names each wound with its place, what it leads to, and what to write instead; a sound notification is clean."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.demo import DOCUMENTED, NAMES, demo_sources
from postback_conformance.lint import Finding, lint
from postback_sender import NotificationSource, SenderError, parse_notification
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

SOUND_URL = "http://127.0.0.1/p?action={ActionId}&status={Status}&delta={DeltaPayout}"


def of_demo(name: str) -> tuple[Finding, ...]:
    return lint(parse_notification(demo_sources()[name], None))


def test_the_documented_example_has_these_wounds() -> None:
    """A first brace that is not escaped, a key without value, a token over two lines, numbers without quotes."""
    assert [
        (one.slug, one.place.removeprefix("documented.json.txt, "), one.message) for one in of_demo(DOCUMENTED)
    ] == [
        (
            "template.brace-not-escaped",
            "line 1, column 1",
            r"this { is not escaped, and the \} in line 49 that closes it is",
        ),
        (
            "json.key-without-value",
            "line 1, column 2",
            "\"Action Life Cycle Postback\" stands where a key belongs, and no ':' and value follow",
        ),
        ("template.white-space-in-token", "line 18, column 18", r"white space inside '{DeltaAmo\nunt}'"),
        *(
            (
                "json.token-unquoted",
                f"line {line}, column {column}",
                f"{{i.{field}}} stands without quotes: an absent value makes the body invalid JSON",
            )
            for line, column, field in ((44, 16, "amt"), (46, 14, "qty"), (47, 13, "cartamt"))
        ),
    ]


def test_each_of_them_says_where_it_is_what_it_leads_to_and_what_to_write() -> None:
    for finding in of_demo(DOCUMENTED):
        assert finding.level == "MUST"
        assert finding.place == f"documented.json.txt, line {finding.line}, column {finding.column}"
        assert finding.consequence
        assert finding.advice
        assert finding.edits


@pytest.mark.parametrize("name", [name for name in NAMES if name != DOCUMENTED])
def test_its_corrected_twin_and_the_other_examples_are_clean(name: str) -> None:
    assert of_demo(name) == ()


@pytest.mark.parametrize(
    ("template", "place", "message", "advice"),
    [
        ("{SubID}", "line 1, column 4", "unknown token {SubID} for action_lifecycle", "did you mean {SubId1}?"),
        ("\\n é {payout}", "line 2, column 4", "unknown token {payout} for action_lifecycle", "did you mean {Payout}?"),
        (
            "{Zzz}",
            "line 1, column 4",
            "unknown token {Zzz} for action_lifecycle",
            "declare it under [tokens.Zzz] if it is yours",
        ),
        ("{ SubId1}", "line 1, column 4", "white space inside '{ SubId1}'", "write {SubId1} on one line"),
        (
            "{i.sku}",
            "line 1, column 4",
            "unknown token {i.sku} for action_lifecycle",
            "item fields stand inside a join over the items, {join(items, i,",
        ),
        (
            '{join(items, i, \\"{i.skuu}\\")}',
            "line 1, column 21",
            "unknown token {i.skuu} for action_lifecycle",
            "did you mean {i.sku}?",
        ),
        (
            '{join(items, i, \\"{i.zzz}\\")}',
            "line 1, column 21",
            "unknown token {i.zzz} for action_lifecycle",
            "no source names such an item field",
        ),
        (
            '{join(items, i, \\"{j.sku}\\")}',
            "line 1, column 21",
            "unknown token {j.sku} for action_lifecycle",
            "item fields stand inside a join over the items, {join(items, j,",
        ),
    ],
)
def test_a_token_that_does_not_exist_is_named_with_the_nearest(
    template: str, place: str, message: str, advice: str, read_settings: ReadSettings
) -> None:
    text = f"url = '{SOUND_URL}'\nmethod = 'POST'\nbody_format = 'xml'\nbody = \"<a>{template}</a>\"\n"
    complaint = lint(read_settings(text))[0]
    assert (complaint.place, complaint.message) == (f"example.toml, body, {place}", message)
    assert complaint.advice.startswith(advice)


def complaints_on(body: str, read_settings: ReadSettings, *, body_format: str = "xml", more: str = "") -> list[str]:
    """Return place, message and advice of what lint says about a body; the blanks keep its lines apart from quotes."""
    text = f"url = '{SOUND_URL}'\nmethod = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''\n{more}"
    found = lint(read_settings(text))
    return [f"{one.place.removeprefix('example.toml, ')}: {one.message}; {one.advice}" for one in found]


def test_the_line_break_that_an_editor_writes_at_the_end_of_a_form_is_named(read_settings: ReadSettings) -> None:
    [first, *_] = complaints_on("a={SubId1}&b={ActionId}\n", read_settings, body_format="query")
    assert first == "body, line 1, column 24: '\\n' becomes the end of the last value; remove it"


def test_a_list_that_does_not_exist_is_named(read_settings: ReadSettings) -> None:
    assert complaints_on('<a>\n{join(itms, i, "{i.sku}")}</a>', read_settings) == [
        'body, line 2, column 1: there is no list itms; the only list is items; write {join(items, i, "…")}'
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ActionStatus", "write {Status}"),
        ("OID", "ask impact.com, or declare it under [tokens.OID]"),
    ],
)
def test_a_token_that_only_strangers_know_is_named(name: str, advice: str, read_settings: ReadSettings) -> None:
    source = "affpixel.com/blog/impact-postback-setup"
    assert complaints_on(f"<a>{{{name}}}</a>", read_settings) == [
        f"body, line 1, column 4: no official list has {{{name}}}; it is known from {source} only; {advice}"
    ]
    assert complaints_on(f"<a>{{{name}}}</a>", read_settings, more=f"[tokens.{name}]\n") == []


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("X-Api-Key", "hunter2", 'write "${X_API_KEY}" and set it in the environment'),
        ("authorization", "Bearer hunter2", 'write "${AUTHORIZATION}" and set it in the environment'),
        ("Authorization", "Bearer ${PARTNER_TOKEN}", None),
        ("X-Partner", "hunter2", None),
        ("X-Api-Key", "", None),
    ],
)
def test_a_secret_in_a_header_belongs_in_the_environment(
    name: str, value: str, advice: str | None, read_settings: ReadSettings
) -> None:
    complaints = lint(read_settings(f'url = "{SOUND_URL}"\n[headers]\n{name} = "{value}"\n'))
    assert [(one.place, one.advice) for one in complaints] == (
        [] if advice is None else [(f"example.toml, headers.{name}", advice)]
    )
    assert "hunter2" not in repr(complaints)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "<a>\n {Payout</a>",
            "body, line 2, column 2: {Payout is not closed: expected '}', got '<'; write {Payout}, or ",
        ),
        ("<a>{Pay-out}</a>", "body, line 1, column 4: {Pay is not closed: expected '}', got '-'; "),
        (
            '<a>{join(items, i, "{i.sku")}</a>',
            "body, line 1, column 21: {i.sku is not closed: expected '}', got '\"'; ",
        ),
        (
            '<a>{"x"\n\\}</a>',
            r"body, line 1, column 4: this { is not escaped, and the \} in line 2 that closes it is; write \{ here",
        ),
        ('<a>{"x": \\{\\}, {"y"} }</a>', None),
        (r"<a>\{Payout\} } {</a>", None),
    ],
    ids=[
        "a token without end",
        "a name no token has",
        "a token without end in a join",
        "a bare brace with an escaped partner",
        "bare braces and escaped ones, each with its like",
        "braces that are text",
    ],
)
def test_a_brace_that_went_wrong_is_named(body: str, complaint: str | None, read_settings: ReadSettings) -> None:
    assert [one[: len(complaint or "")] for one in complaints_on(body, read_settings)] == (
        [] if complaint is None else [complaint]
    )


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("<a>ü {ActionId}\n</b>", "body, line 2, column 3"),
        (r"<a>\{\} {ActionId}</b>", "body, line 1, column 21"),
        ("<a/>{SubId1}", "body, line 1, column 5"),
        ('<a>{join(items, i, "<b/>")}</c>', "body"),
        ("<a>{SubId1}", "body"),
    ],
    ids=["after a value", "after escapes", "a value itself", "after items, whose length varies", "at the end"],
)
def test_a_fault_of_the_rendered_body_is_traced_to_the_template(
    body: str, place: str, read_settings: ReadSettings
) -> None:
    last = complaints_on(body, read_settings)[-1]
    assert last.startswith(f"{place}: rendered for an example event it is not valid xml")


def test_a_token_of_ones_own_is_known(read_settings: ReadSettings) -> None:
    assert lint(read_settings(f'url = "{SOUND_URL}&x={{Text3}}"\n[tokens.Text3]\n')) == ()


def test_an_unknown_token_is_named_also_where_rendering_refuses_it(read_settings: ReadSettings) -> None:
    text = f'url = "{SOUND_URL}"\nmethod = "POST"\nbody = "\\"{{Zzz}}\\""\n[template]\nunknown_token = "error"\n'
    assert [one.message for one in lint(read_settings(text))] == ["unknown token {Zzz} for action_lifecycle"]


@pytest.mark.parametrize(
    ("url", "messages"),
    [
        (SOUND_URL, []),
        (
            "http://h/p?status={Status}",
            ["no {ActionId}: nothing ties a modification or reversal to its action"],
        ),
        ("http://h/p/{ActionId}", ["no {Status}: a reversal looks like a sale"]),
    ],
)
def test_tokens_one_cannot_do_without_are_missed(url: str, messages: list[str], read_settings: ReadSettings) -> None:
    assert [complaint.message for complaint in lint(read_settings(f'url = "{url}"'))] == messages


def test_tokens_are_only_missed_where_they_exist(read_settings: ReadSettings) -> None:
    assert lint(read_settings('event = "product_data_change"\nurl = "http://h/p"')) == ()


@pytest.mark.parametrize(
    ("parameter", "advice"),
    [
        ("key=hunter2", "write key=${KEY} and set it in the environment"),
        ("api-key=hunter2", "write api-key=${API_KEY} and set it in the environment"),
        ("accessToken=hunter2", "write accessToken=${ACCESSTOKEN} and set it in the environment"),
        ("key=${PARTNER_KEY}", None),
        ("key={SubId1}", None),
        ("key=", None),
        ("click=hunter2", None),
    ],
)
def test_a_secret_in_the_url_belongs_in_the_environment(
    parameter: str, advice: str | None, read_settings: ReadSettings
) -> None:
    """One that comes from the environment already, or from a token, is no secret in clear."""
    complaints = lint(read_settings(f'url = "{SOUND_URL}&{parameter}"'))
    assert [complaint.advice for complaint in complaints] == ([] if advice is None else [advice])
    assert "hunter2" not in repr(complaints)


@pytest.mark.parametrize(
    ("body_format", "body", "message"),
    [
        ("json", "", "rendered for an example event it is not valid json: Expecting value"),
        ("xml", "<a>{SubId1}", "rendered for an example event it is not valid xml: no element found"),
        (
            "xml",
            '<a>{join(items, i, "<b>{i.sku}</b>", "</a><a>")}</a>',
            "rendered for an example event it is not valid xml: junk after document element",
        ),
    ],
)
def test_what_no_reading_of_the_template_explains_shows_when_it_is_rendered(
    body_format: str, body: str, message: str, read_settings: ReadSettings
) -> None:
    assert complaints_on(body, read_settings, body_format=body_format)[-1].partition(": ")[2].startswith(message)


@settings(max_examples=30, deadline=None)
@given(
    url=st.text("http:/[]?&=#{}TokenActionId%\\ü", max_size=30),
    body=st.text('{}[]"<>&:,join(items, i.sku)\\Payout\n', max_size=40),
    body_format=st.sampled_from(["json", "xml", "query"]),
    unknown=st.sampled_from(["keep", "empty", "error"]),
)
def test_any_notification_can_be_linted(url: str, body: str, body_format: str, unknown: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    text = (
        f'url = {quoted(url)}\nmethod = "POST"\nbody_format = "{body_format}"\nbody = {quoted(body)}\n'
        f'[template]\nunknown_token = "{unknown}"\n'
    )
    try:
        notification = parse_notification(NotificationSource(name="any.toml", text=text), None)
    except SenderError:
        return
    assert all(complaint.place and complaint.message and complaint.advice for complaint in lint(notification))
