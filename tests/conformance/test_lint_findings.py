"""What lint finds in each format: one finding for each cause, at its place, and nothing in a sound template."""

from collections.abc import Callable

import pytest

from cpu_time import cpu_time
from postback_conformance.lint import Finding, lint
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

TWO_PAIRS = [("template.double-braces", 8), ("template.double-braces", 27)]
THREE_MACROS = [("template.foreign-macro", column) for column in (8, 25, 42)]
URL = "http://127.0.0.1/p?action={ActionId}&status={Status}&delta={DeltaPayout}"


def found(read_settings: ReadSettings, body_format: str, body: str, *, more: str = "") -> list[Finding]:
    text = f"url = '{URL}'\nmethod = 'POST'\nbody_format = '{body_format}'\nbody = '''{body}'''\n{more}"
    return list(lint(read_settings(text)))


def slugs(findings: list[Finding]) -> list[tuple[str, int | None]]:
    return [(finding.slug, finding.column) for finding in findings]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"a": "{SubId1}", "b": {Payout}, "c": {CampaignId}, "d": [1, true, {"e": null}]}', []),
        ('{"a": {ActionId}}', [("json.token-unquoted", 7)]),
        ('{"a": {SubId1}{SubId2}}', [("json.token-unquoted", 7), ("template.adjacent-tokens", 15)]),
        ('{"a": {Amount}USD}', [("json.token-unquoted", 7)]),
        ('{"a": "{SubId1}" "b": 1}', [("json.missing-comma", 18)]),
        ("[1 2]", [("json.missing-comma", 4)]),
        ('{"a", "b": 1}', [("json.key-without-value", 2)]),
        ('{"a"}', [("json.key-without-value", 2)]),
        ('{"a": , "b": 1}', [("json.key-without-value", 2)]),
        ('{"a" 1}', [("json.missing-colon", 6)]),
        ('{"a", "{SubId1}"}', [("json.missing-colon", 5)]),
        ('{"a": 1,}', [("json.extra-comma", 8)]),
        ('{"a": 1,, "b": 2}', [("json.extra-comma", 9)]),
        ('{, "b": 2}', [("json.extra-comma", 2)]),
        ("{\N{LEFT DOUBLE QUOTATION MARK}a\N{RIGHT DOUBLE QUOTATION MARK}: 1}", [("json.wrong-quotes", 2)]),
        ('{"a\N{RIGHT DOUBLE QUOTATION MARK}: "{SubId1}"}', [("json.wrong-quotes", 2)]),
        ('{"a": "{SubId1},\n"b": 1}', [("json.string-not-closed", 7)]),
        ('{"a": {SubId1}",\n"b": 1}', [("json.string-not-closed", 7)]),
        ('{"a": "one\ttwo"}', [("json.control-character", 11)]),
        ('{"a": "\\q"}', [("json.bad-escape", 8)]),
        ('{"a": True, b: 1}', [("json.bare-word", 7), ("json.bare-word", 13)]),
        ('{"a": [1}', [("json.bracket-not-closed", 7)]),
        ('{"a": {"b": 1}', [("json.bracket-not-closed", 1)]),
        ('{"a": 1}}', [("json.unexpected-text", 9)]),
        ('{"a": 1, "a": 2, "b": {"a": 3}}', [("json.duplicate-key", 10)]),
        ('{"a": 1, {SubId1}: 2, "x{SubId1}": 3}', [("json.token-as-key", 10), ("json.token-as-key", 23)]),
        ('{"a": {{SubId1}}}', [("template.double-braces", 7), ("json.token-unquoted", 7)]),
        ('{"a": "{{SubId1}}", "b": "{{ sub_id }}"}', TWO_PAIRS),
        ('{"a": "\\{{SubId1}\\}", "b": {"c": "{SubId1}"}}', []),
        ('{"a": "${SubId1}", "b": "${HOME}"}', [("template.variable-in-body", 8), ("template.variable-in-body", 26)]),
        ('{"a": "[Payout]", "b": "%Payout%", "c": "<Payout>"}', THREE_MACROS),
        ('{"a": "[payout]", "b": "100% Payout%", "[Payout]": "[Payouts]", "c": "x [Payout]"}', []),
        ('{"a": "{SubId1}", // "b": {SubId2,\n"payout": "{Amount}"}', [("json.comment", 19), ("money.swapped", 12)]),
        ('/* {Nope} */ {"a": "{SubId1}"}', [("json.comment", 1)]),
        ('\N{ZERO WIDTH NO-BREAK SPACE}{"a": "{SubId1}"}', [("body.byte-order-mark", 1)]),
        ('{"a": "{SubId1}, {SubId2}: \N{LEFT DOUBLE QUOTATION MARK}b\N{RIGHT DOUBLE QUOTATION MARK}"}', []),
    ],
)
def test_where_json_leaves_its_grammar_is_found(
    body: str, expected: list[tuple[str, int]], read_settings: ReadSettings
) -> None:
    assert slugs(found(read_settings, "json", body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (r'{"s": [{join(items, i, "\"{i.sku}\"")}]}', []),
        ('{"s": "{join(items, i, "{i.sku}", "|")}"}', []),
        (r'{"s": [{join(items, i, "\"{i.sku}\",")}]}', [("json.extra-comma", 36)]),
        (r'{"s": [{join(items, i, "\"{i.sku}\",", "")}]}', [("json.join-separator", 8)]),
        (r'{"s": [{join(items, i, "\"{i.sku}\"", "")}]}', [("json.join-separator", 8)]),
        (r'{"s": {join(items, i, "\"{i.sku}\"")}}', [("json.join-outside-array", 7)]),
        (r'{{join(items, i, "\"s\": \"{i.sku}\"")}}', [("json.join-outside-array", 2)]),
        (r'{"s": [1, {join(items, i, "\"{i.sku}\"")}]}', [("json.join-beside-values", 11)]),
        (r'{"s": [{join(items, i, "\"{i.sku}\"")}, 1]}', [("json.join-beside-values", 8)]),
        (r'{"s": [{join(items, i, "\{\"a\": 1")}]}', [("json.bracket-not-closed", 25)]),
        ('{"s": [{join(items, i, "")}]}', [("body.not-well-formed", None)]),
    ],
)
def test_a_join_that_fails_for_some_number_of_lines_is_found(
    body: str, expected: list[tuple[str, int]], read_settings: ReadSettings
) -> None:
    assert slugs(found(read_settings, "json", body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<?xml version="1.0"?><a b="{SubId1}">&lt; &#38; <![CDATA[& < {SubId2}]]><c/></a>', []),
        ("<a>x & y</a>", [("xml.unescaped-markup", 6)]),
        ('<a b="&x">1 < 2</a>', [("xml.unescaped-markup", 7), ("xml.unescaped-markup", 13)]),
        (" <?xml version='1.0'?><a/>".replace("'", '"'), [("xml.declaration-not-first", 2)]),
        ("<a b={SubId1}/>", [("xml.token-in-tag", 6)]),
        ('<a {SubId1}="b"/>', [("xml.token-in-tag", 4)]),
        ("<a{SubId1}/>", [("xml.token-in-tag", 3)]),
        ("<{SubId1}/>", [("xml.token-in-tag", 2)]),
        ("<a><!-- {SubId1} --></a>", [("xml.token-in-comment", 9)]),
        ('<a b="1" b="2"/>', [("xml.duplicate-attribute", 10)]),
        ("<a>{SubId1}</b>", [("body.not-well-formed", 14)]),
        ("<a b='{{SubId1}}'>{{Payout}}</a>", [("template.double-braces", 7), ("template.double-braces", 19)]),
        ("<payout b='%SubId1%'>[Payout]</payout>", [("template.foreign-macro", 12), ("template.foreign-macro", 22)]),
        ("<a><Payout>{Payout}</Payout></a>", []),
        ("\N{ZERO WIDTH NO-BREAK SPACE}<a>{SubId1}</a>", [("body.byte-order-mark", 1)]),
    ],
)
def test_where_xml_is_none_or_no_value_is_safe_is_found(
    body: str, expected: list[tuple[str, int]], read_settings: ReadSettings
) -> None:
    assert slugs(found(read_settings, "xml", body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a={SubId1}&b=1%20c&d[]=1&d[]=2", []),
        (
            "a=x y&b=\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{EURO SIGN}",
            [("query.raw-character", 4), ("query.raw-character", 9)],
        ),
        ("a={SubId1}&\n  b=2", [("query.raw-character", 12)]),
        ("a=5%&b=1", [("query.bad-percent", 4)]),
        ("a=1&b=2&a=3", [("query.duplicate-parameter", 9)]),
        ("{SubId1}=1&a=2", [("query.token-as-name", 1)]),
        ("a={{SubId1}}&b=[Payout]", [("template.double-braces", 3), ("template.foreign-macro", 16)]),
        ("a=%Payout%&b=<Amount>", [("template.foreign-macro", 3), ("template.foreign-macro", 14)]),
        *(
            (f'k={{join(items, i, "{{i.sku}}", "{separator}")}}', [("query.join-separator", 3)])
            for separator in "#%é &"
        ),
        *((f'k={{join(items, i, "{{i.sku}}", "{separator}")}}', []) for separator in (";", "%23", "&k=", "-+-")),
        ('{join(items, i, "{i.sku}", "&")}', [("query.join-separator", 1), ("query.token-as-name", 1)]),
        ('a=1&{join(items, i, "s[]={i.sku}", "&")}', []),
    ],
)
def test_what_a_query_cannot_hold_is_found(
    body: str, expected: list[tuple[str, int]], read_settings: ReadSettings
) -> None:
    assert slugs(found(read_settings, "query", body)) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "http://127.0.0.1/a b?c=\N{EURO SIGN}&d=5%",
            ["query.raw-character", "query.raw-character", "query.bad-percent"],
        ),
        ("http://127.0.0.1/a#{SubId1}", ["url.token-in-fragment"]),
        ("http://me:hunter2@127.0.0.1/", ["secret.in-url"]),
        ("http://me:${PASSWORD}@127.0.0.1/", []),
        ("http://127.0.0.1/{SubId1}{SubId2}", ["template.adjacent-tokens"]),
        ("http://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/", []),
        ("http://{SubId1}.example.com/?a=1", ["url.token-in-authority"]),
        ("http://127.0.0.1:8{CampaignId}/", ["url.token-in-authority"]),
        ("http://${HOST}:8080/{SubId1}", []),
        ("http://127.0.0.1/{{SubId1}}?a={{ Payout }}", ["template.double-braces", "template.double-braces"]),
        ("http://127.0.0.1/?a=%Payout%", ["template.foreign-macro"]),
        (r"http://127.0.0.1/?k={join(items, i, \"{i.sku}\", \"#\")}", ["query.join-separator"]),
        (r"http://127.0.0.1/{join(items, i, \"{i.sku}\", \"&\")}", []),
        (r"http://127.0.0.1/?k={join(items, i, \"{i.sku}\", \"&\")}", ["query.join-separator"]),
    ],
)
def test_what_a_url_cannot_hold_is_found(url: str, expected: list[str], read_settings: ReadSettings) -> None:
    findings = lint(read_settings(f'url = "{url}"\n[headers]\nX = "1"'))

    assert [one.slug for one in findings if one.line] == expected
    assert "hunter2" not in repr(findings)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"payout": "{Payout}", "delta_payout": "{DeltaPayout}", "original_amount": "{OriginalAmount}"}', []),
        ('{"payout": "{Amount}"}', [("money.swapped", 13)]),
        ('{"saleAmount": "{Payout}", "commission": "{Amount}"}', [("money.swapped", 17)]),
        ('{"sale_commission": "{Payout}", "payout_currency": "{Currency}"}', []),
        ('{"payout": "{DeltaPayout}"}', [("money.wrong-token", 13)]),
        ('{"delta_amount": "{Amount}"}', [("money.wrong-token", 19)]),
        ('{"intended": "{Payout}"}', [("money.wrong-token", 15)]),
        (r'{"payouts": [{join(items, i, "\"{i.amt}\"")}]}', [("money.swapped", 33)]),
    ],
)
def test_a_key_that_promises_other_money_than_its_token_brings_is_found(
    body: str, expected: list[tuple[str, int]], read_settings: ReadSettings
) -> None:
    assert slugs(found(read_settings, "json", body)) == expected


def test_an_attribute_belongs_to_its_element(read_settings: ReadSettings) -> None:
    assert found(read_settings, "xml", '<payout delta="{DeltaPayout}">{Payout}</payout>') == []
    assert slugs(found(read_settings, "xml", '<payout delta="{DeltaAmount}"/>')) == [("money.swapped", 16)]


@pytest.mark.parametrize(
    ("body_format", "body", "looks"),
    [
        ("xml", ' {"a": "{SubId1}"}', "json"),
        ("query", "[]", "json"),
        ("json", "<a>{SubId1}</a>", "xml"),
        ("json", "a={SubId1}&b=1", "query"),
    ],
)
def test_a_body_of_another_format_is_one_finding(
    body_format: str, body: str, looks: str, read_settings: ReadSettings
) -> None:
    (finding,) = found(read_settings, body_format, body)

    assert finding.slug == "body.format-mismatch"
    assert finding.advice == f'write body_format = "{looks}"'


@pytest.mark.parametrize(
    ("body_format", "body"),
    [
        ("json", r'{"p": "{CampaignName}", "d": "{EventDate}", "s": [{join(items, i, "\"{i.name}\"")}]}'),
        ("xml", '<a d="{EventDate}">{CampaignName}<b>{join(items, i, "{i.name}")}</b></a>'),
        ("query", 'p={CampaignName}&d={EventDate}&s={join(items, i, "{i.name}")}'),
    ],
)
def test_under_raw_escaping_the_tokens_that_can_break_the_body_are_named(
    body_format: str, body: str, read_settings: ReadSettings
) -> None:
    (finding,) = found(read_settings, body_format, body, more='[template]\nescaping = "raw"')

    assert finding.slug == "body.raw-values"
    assert "{CampaignName}, {i.name}" in finding.message
    assert "EventDate" not in finding.message
    assert found(read_settings, body_format, body) == []


def test_a_raw_value_may_end_a_parameter_of_the_url(read_settings: ReadSettings) -> None:
    settings = 'url = "{url}&p={CampaignName}"\n[template]\nescaping = "raw"'

    assert [one.slug for one in lint(read_settings(settings.replace("{url}", URL)))] == ["body.raw-values"]


def test_one_missing_brace_is_one_finding(read_settings: ReadSettings) -> None:
    """And what it would be about once it is mended."""
    assert slugs(found(read_settings, "json", '{"a": {SubId1, "b": "{SubId2"}')) == [
        ("template.token-not-closed", 7),
        ("json.token-unquoted", 7),
        ("template.token-not-closed", 22),
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('url = "http://h/?a={ActionId}&s={Status}&p={Payout}"', [("missing.delta", "INFO")]),
        ('url = "http://h/?a={ActionId}&s={Status}"', []),
        ('url = "http://h/?a={ActionId}&s={Status}&p={Amount}&d={DeltaAmount}"', []),
        ('url = "http://h/?a={actionid}&s={Status}"', [("template.unknown-token", "MUST")]),
        ('url = "http://h/"\nlevel = "event"', [("notification.event-level", "INFO")]),
        ('url = "http://h/"\nlevel = "event"\nevent = "product_data_change"', []),
    ],
)
def test_what_a_notification_leaves_out_is_found_once(
    settings: str, expected: list[tuple[str, str]], read_settings: ReadSettings
) -> None:
    assert [(one.slug, one.level) for one in lint(read_settings(settings))] == expected


def test_findings_come_in_reading_order(read_settings: ReadSettings) -> None:
    findings = found(read_settings, "json", '{"a": {SubId1},\n"b": "{Nope}",\n"payout": "{Amount}",}')

    assert [(one.line, one.column) for one in findings] == [(1, 7), (2, 7), (3, 12), (3, 21)]


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ("{{Payout}}", r"write {Payout}; braces that are text are written \{ and \}"),
        ("{{Zzz}}", "one pair of braces makes a token; declare it under [tokens.Zzz] if it is yours"),
        ("${ActionId}", "write {ActionId}"),
        ("${Payout}", "write {Payout}, unless the $ belongs to the sum"),
        ("${HOME}", "write the text itself, or a token; `postback tokens` prints them"),
        ("%Payout%", "write {Payout}, unless it is text"),
    ],
)
def test_a_token_written_as_elsewhere_is_told_how_it_is_written_here(
    body: str, advice: str, read_settings: ReadSettings
) -> None:
    finding = found(read_settings, "xml", f"<a>{body}</a>")[0]

    assert finding.advice == advice


@pytest.mark.parametrize(
    ("body_format", "unit"),
    [
        *(
            ("json", unit)
            for unit in ("{", "{{", "[", '[{"a":', "[{]", '"', '{"a": {SubId1},', "// {Payout}\n", "/*", 'key="')
        ),
        *(("xml", unit) for unit in ("<a>", "<a></b>", "<a b={SubId1}/>", "& ", "<", "{{Payout}}", "{Nope%d}")),
        *(("query", unit) for unit in ("%", "a=\N{EURO SIGN}&", "{payout}", '{join(items, i, "{i.name},", "#")}&')),
    ],
)
@pytest.mark.parametrize("escaping", ["context", "raw"])
def test_a_long_template_takes_time_in_proportion(
    body_format: str, unit: str, escaping: str, read_settings: ReadSettings
) -> None:
    """Twenty thousand characters take a moment, unless something looks at all of them for each of them."""
    body = "".join(unit.replace("%d", str(number)) for number in range(20_000 // len(unit)))
    with cpu_time() as spent:
        found(read_settings, body_format, body, more=f'[template]\nescaping = "{escaping}"')

    assert spent.seconds < 15
