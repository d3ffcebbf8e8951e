"""What is not laid out as its template is still judged, by the names of its values, where these leave no doubt."""

from collections.abc import Callable

import pytest

from postback_conformance.judging.evidence import Evidence
from postback_conformance.rules.examples import capture
from postback_receiver import Capture
from postback_sender.notification import Notification

ReadSettings = Callable[[str], Notification]

GET = """
url = "http://127.0.0.1/p?id={ActionId}&payout={Payout}&sub={SubId1}&currency={Currency}"
method = "GET"
"""
JSON = r"""
url = "http://127.0.0.1/p?click={RefClickId}"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "of": {"payout": {Payout}, "both": "{SubId1}-{SubId2}"}, "tags": ["{Text1}", "{Text2}"], \
"items": [{join(items, i, "\{\"sku\": \"{i.sku}\", \"amt\": {i.amt}\}")}]}'
""".replace("\\\n", "")
XML = r"""
url = "http://127.0.0.1/p"
method = "POST"
body_format = "xml"
body = '<a status="{Status}"><id>{ActionId}</id><items>\
{join(items, i, "<item qty=\"{i.qty}\">{i.sku}</item>", "")}</items></a>'
""".replace("\\\n", "")
JSON_TWICE = """
url = "http://127.0.0.1/p?click={ActionId}"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "again": "{ActionId}"}'
"""
FORM = """
url = "http://127.0.0.1/p"
method = "POST"
body_format = "query"
body = "id={ActionId}&sub={SubId1}&currency={Currency}"
"""


def get(query: str) -> Capture:
    return capture(method="GET", target=f"/p?{query}", headers=())


def post(body: str) -> Capture:
    return capture(body.encode(), target="/p?click=c")


TOLD: dict[str, tuple[str, Capture, dict[str, str]]] = {
    "parameters in another order": (
        GET,
        get("sub=a%20b&currency=USD&id=1.2.3&payout=1.00"),
        {"ActionId": "1.2.3", "Payout": "1.00", "SubId1": "a b", "Currency": "USD"},
    ),
    "one more parameter, which may end no free text": (
        GET,
        get("id=1.2.3&payout=1.00&utm=x&sub=a&b=c&currency=USD&more=1"),
        {"ActionId": "1.2.3", "Payout": "1.00", "Currency": "USD"},
    ),
    "a parameter that comes twice": (
        GET,
        get("id=1&id=2&payout=1.00&sub=&currency=USD"),
        {"Payout": "1.00", "SubId1": "", "Currency": "USD"},
    ),
    "a value that is no UTF-8": (GET, get("more=1&id=%FF&currency=USD"), {"Currency": "USD"}),
    "a % that is no escape": (GET, get("more=1&id=1%&payout=5%2&currency=USD"), {"Currency": "USD"}),
    "a free text before what comes twice": (GET, get("id=1&sub=a&currency=EUR&currency=USD"), {"ActionId": "1"}),
    "a free text before an & at the end": (GET, get("currency=USD&id=1&sub=a&"), {"ActionId": "1", "Currency": "USD"}),
    "a parameter that may be one of the items": (
        FORM.replace("id={ActionId}", '{join(items, i, \\"id={i.sku}\\", \\"&\\")}&id={ActionId}'),
        capture(b"x=1&id=1&currency=USD", target="/p"),
        {"Currency": "USD"},
    ),
    "two values in the body, and one in the URL": (
        JSON_TWICE,
        capture(b'{"id": "1", "again": "2"}', target="/p?click=3"),
        {},
    ),
    "a form with one more field": (
        FORM,
        capture("x=ü&sub=Z%C3%BCrich+AG&id=1&currency=USD".encode(), target="/p"),
        {"SubId1": "Zürich AG", "ActionId": "1", "Currency": "USD"},
    ),
    "JSON written anew": (
        JSON,
        post(
            '{ "items": [], "more": null, "of": {"both": "a-b", "payout": "1.50"},\n'
            ' "id": "Z\\u00fcrich \\"1\\"", "tags": ["a", "b"] }'
        ),
        {"RefClickId": "c", "ActionId": 'Zürich "1"', "Payout": "1.50"},
    ),
    "JSON with other types": (
        JSON,
        post('{"id": 7, "of": {"payout": 1.50}, "items": {}}'),
        {"RefClickId": "c", "Payout": "1.50"},
    ),
    "JSON with half a character": (
        JSON,
        post('{"of": {"payout": true}, "id": "\\ud800"}'),
        {"RefClickId": "c", "Payout": "true"},
    ),
    "JSON with a key twice": (JSON, post('{"id": "1", "id": "2", "of": {"payout": 1}}'), {"RefClickId": "c"}),
    "JSON that is none": (JSON, post('{"id": "1",}'), {"RefClickId": "c"}),
    "JSON of something else": (JSON, post('["id"]'), {"RefClickId": "c"}),
    "XML over lines": (
        XML,
        capture(b"<a  status='PENDING'>\n  <more/>\n  <id><![CDATA[1.2.3]]></id>\n</a>", target="/p"),
        {"Status": "PENDING", "ActionId": "1.2.3"},
    ),
    "XML with texts on lines of their own": (
        XML,
        capture(b"<a status='x'><id>\n  1.2.3\n</id></a>", target="/p"),
        {"Status": "x"},
    ),
    "XML with an element twice": (
        XML,
        capture(b"<a status='x'><id>1</id><id>2</id></a>", target="/p"),
        {"Status": "x"},
    ),
    "XML with an element inside a value": (
        XML,
        capture(b"<a status='x'><id>1<b>2</b></id></a>", target="/p"),
        {"Status": "x"},
    ),
    "XML with a document type": (
        XML,
        capture(b"<!DOCTYPE a [<!ENTITY e '1'>]><a status='x'><id>&e;</id></a>", target="/p"),
        {},
    ),
}


@pytest.mark.parametrize(("settings", "arrived", "texts"), TOLD.values(), ids=TOLD.keys())
def test_a_value_is_read_by_its_name_where_nothing_else_can_be_meant(
    settings: str, arrived: Capture, texts: dict[str, str], read_settings: ReadSettings
) -> None:
    evidence = Evidence(read_settings(settings), arrived)
    assert evidence.texts == texts
    assert {name: value.text for name, value in evidence.values.items()} == texts


ITEMS: dict[str, tuple[str, Capture, tuple[dict[str, str], ...] | None]] = {
    "JSON": (
        JSON,
        post('{"items": [{"amt": 1.50, "sku": "a"}, {"sku": "b", "amt": "2", "x": 1}, {"sku": 3}]}'),
        ({"sku": "a", "amt": "1.50"}, {"sku": "b", "amt": "2"}, {}),
    ),
    "JSON without any": (JSON, post('{"items": [ ]}'), ()),
    "JSON without the list": (JSON, post('{"id": "1"}'), None),
    "XML": (
        XML,
        capture(b"<a><items>\n<item qty='1'>x</item>\n<item>&amp;</item></items></a>", target="/p"),
        ({"qty": "1", "sku": "x"}, {"sku": "&"}),
    ),
    "XML without any": (XML, capture(b"<a><items> </items></a>", target="/p"), ()),
    "XML without the list": (XML, capture(b"<a></a>", target="/p"), None),
    "XML with items of another name": (XML, capture(b"<a><items><Item>x</Item></items></a>", target="/p"), None),
    "JSON with more in the list than items": (
        JSON.replace("[{join", '[{"sku": "total"}{join').replace('i, "', 'i, ", ').replace('\\}")', '\\}", "")'),
        post('{"items": [{"sku": "total"}, {"sku": "a", "amt": 1}]}'),
        None,
    ),
}


@pytest.mark.parametrize(("settings", "arrived", "items"), ITEMS.values(), ids=ITEMS.keys())
def test_items_are_read_by_the_names_of_their_fields(
    settings: str, arrived: Capture, items: tuple[dict[str, str], ...] | None, read_settings: ReadSettings
) -> None:
    evidence = Evidence(read_settings(settings), arrived)
    assert evidence.item_texts == items
    found = evidence.items
    assert (None if found is None else tuple({name: one.text for name, one in item.items()} for item in found)) == items


def test_a_value_that_was_read_by_name_says_where(read_settings: ReadSettings) -> None:
    told = Evidence(read_settings(JSON), post('{"of": {"payout": 1.50}}')).values
    assert told["Payout"].where.pointer == "/of/payout"
    told = Evidence(read_settings(GET), get("currency=USD")).values
    assert told["Currency"].where.parameter == "currency"


def test_what_is_too_large_is_not_read_by_name(read_settings: ReadSettings) -> None:
    body = f'{{"id": "1", "more": "{"x" * 1_000_000}"}}'
    assert Evidence(read_settings(JSON), post(body)).texts == {"RefClickId": "c"}


@pytest.mark.parametrize(
    ("settings", "arrived"),
    [(GET, get("more=1&id=1&payout=1,5&sub=a&currency=USD")), (JSON, post('{"of": {"payout": "1,5"}, "id": "1"}'))],
    ids=["GET", "JSON"],
)
def test_rules_about_values_still_judge_what_is_laid_out_otherwise(
    settings: str, arrived: Capture, judged_by: Callable[[str, str, list[Capture]], tuple[object, ...]]
) -> None:
    (verdict,) = judged_by("field.money", settings, [arrived])
    assert (getattr(verdict, "outcome", ""), getattr(verdict, "actual", "")) == ("fail", "1,5")


def test_a_value_that_only_its_name_tells_is_looked_at(
    judged_by: Callable[[str, str, list[Capture]], tuple[object, ...]],
) -> None:
    lost = FORM.replace(
        "id={ActionId}&sub={SubId1}&currency={Currency}", '{join(items, i, \\"{SubId1}\\", \\"&\\")}&n={Text1}'
    )
    (verdict,) = judged_by("value.double-encoded", lost, [capture(b"n=%2541", target="/p")])
    assert getattr(verdict, "outcome", "") == "inconclusive"


def test_a_parameter_that_the_settings_do_not_have_is_told_of(
    judged_by: Callable[[str, str, list[Capture]], tuple[object, ...]],
) -> None:
    (verdict,) = judged_by("http.unknown-parameter", GET, [get("id=1&payout=1.00&sub=a&currency=USD&utm=x&utm=y")])
    assert str(getattr(verdict, "message", "")).startswith("the query holds utm, which the notification's URL does not")
    (verdict,) = judged_by("body.template-shape", FORM, [capture(b"id=1&sub=&currency=USD&utm=x", target="/p")])
    assert (getattr(verdict, "outcome", ""), getattr(verdict, "actual", "")) == ("fail", "'&utm=x'")
