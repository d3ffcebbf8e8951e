"""Findings in a template that the settings hold have their place in the settings file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postback_conformance.lint import fix, lint_source
from postback_conformance.lint.settings_places import SettingsPlaces
from postback_sender import NotificationSource, parse_notification

URL = 'url = "http://127.0.0.1/p?a={ActionId}&s={Status}"'


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("body = '<a>{Nope}</a>'", 3, 12),
        ("  body='<a>{Nope}</a>'", 3, 12),
        ('"body" = "<a>{Nope}</a>"', 3, 14),
        ("body = '''<a>{Nope}</a>'''", 3, 14),
        ("body = '''\n<a>\n  {Nope}</a>\n'''", 5, 3),
        ("body = '''<a>\n\n{Nope}</a>'''", 5, 1),
        ('body = """\n<a>\n {Nope}</a>"""', 5, 2),
        ('body = "<a b=\\"\\u00e9\\">\\n\\t{Nope}</a>"', 3, 29),
        ('body = """<a>\\\n\n   x{Nope}</a>"""', 5, 5),
        ('body = """\\\n<a b=\\"1\\">{Nope}</a>"""', 4, 12),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_finding_is_placed_where_an_editor_finds_it(written: str, line: int, column: int, line_end: str) -> None:
    text = f"{URL}\nbody_format = 'xml'\n{written}\n".replace("\n", line_end)
    (finding,) = lint_source(NotificationSource(name="n.toml", text=text))

    assert (finding.file, finding.line, finding.column) == ("n.toml", line, column)
    assert finding.place == f"n.toml, body, line {line}, column {column}"
    assert text.splitlines()[line - 1][column - 1 :].startswith("{Nope}")


@given(st.text("a\n\\\"'\N{LATIN SMALL LETTER E WITH ACUTE}{}\t", max_size=20), st.sampled_from(["'''", '"""', '"']))
def test_the_place_is_that_of_the_same_letters_however_the_text_is_written(before: str, quotes: str) -> None:
    body = f"x{before}x {{Nope}}"
    if quotes != "'''":
        body_written = json.dumps(body, ensure_ascii=False)[1:-1]
        body_written = body_written.replace("\\n", "\n") if len(quotes) == 3 else body_written
    else:
        body_written = body = body.replace("'", "")
    source = NotificationSource(
        name="n.toml", text=f"{URL}\nbody_format = 'query'\nbody = {quotes}{body_written}{quotes}"
    )
    found = [one for one in lint_source(source) if one.message.startswith("unknown token {Nope}")]

    for one in found:
        assert one.line is not None
        assert one.column is not None
        assert source.text.split("\n")[one.line - 1][one.column - 1 :].startswith("{Nope}")


def test_what_only_looks_like_the_key_is_not_taken_for_it() -> None:
    text = "url = '''\nhttp://127.0.0.1/p?a={ActionId}&s={Status}&\nbody = 'x'&b={Nope}'''\nbody = '{Nope}'\n"
    findings = lint_source(NotificationSource(name="n.toml", text=text + "body_format = 'query'"))
    places = [one.place for one in findings if one.slug == "template.unknown-token"]

    assert places == ["n.toml, url, line 3, column 14", "n.toml, body, line 4, column 9"]


def test_a_body_in_a_file_of_its_own_has_its_places_there() -> None:
    files = {"b.txt": "<a>\n{Nope}</a>"}
    source = NotificationSource(name="n.toml", text=f"{URL}\nbody_format = 'xml'\nbody_file = 'b.txt'", files=files)
    (finding,) = lint_source(source)

    assert (finding.place, finding.file, finding.line) == ("b.txt, line 2, column 1", "b.txt", 2)


def test_a_template_that_was_put_together_or_changed_since_has_the_line_of_its_key() -> None:
    text = "event = 'action_inquiry'\nurl = 'http://127.0.0.1/a b'\nquery_fields = ['Id']"
    finding, *_ = lint_source(NotificationSource(name="n.toml", text=text))
    source = NotificationSource(name="n.toml", text=f"{URL}\nbody = '''\n\n[{{subid1}}]'''")
    (_, first), (before, second) = fix(parse_notification(source, None)).rounds

    assert (finding.place, finding.line, finding.column) == ("n.toml, url, line 2", 2, None)
    assert SettingsPlaces(source).placed(second[0], before).place == "n.toml, body, line 3"
    assert first[0].line == 2


def test_what_concerns_the_whole_names_the_file_and_what_in_it() -> None:
    source = NotificationSource(name="n.toml", text=f"{URL}\n[headers]\nX-Api-Key = 'hunter2'")
    (finding,) = lint_source(source)

    assert (finding.place, finding.file, finding.line) == ("n.toml, headers.X-Api-Key", "n.toml", None)


@pytest.mark.parametrize(
    ("settings", "place", "excerpt"),
    [
        (
            "url = 'http://h/{join(items'",
            "n.toml, url, line 1, column 28",
            "    http://h/{join(items\n" + " " * 24 + "^",
        ),
        ("body = '''\n\n {join(x}'''", "n.toml, body, line 3, column 9", "     {join(x}\n" + " " * 12 + "^"),
    ],
)
def test_a_template_that_cannot_be_read_is_a_finding(settings: str, place: str, excerpt: str) -> None:
    (finding,) = lint_source(NotificationSource(name="n.toml", text=settings))

    assert (finding.slug, finding.place) == ("template.syntax", place)
    assert finding.message.endswith(f"\n{excerpt}")
