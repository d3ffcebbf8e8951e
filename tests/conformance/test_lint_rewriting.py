"""A corrected template goes back where it came from, and everything around it stays as it was."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from postback_conformance.errors import ConformanceError
from postback_conformance.lint import fix
from postback_conformance.lint.rewriting import rewritten
from postback_sender import NotificationSource, parse_notification
from postback_sender.template import Template

QUOTES = ("'''", '"""', "'", '"')
AROUND = ("# why it is\nbody_format   =  'xml'  # a comment\nbody = ", " # another\n\n[headers]\n  X = '1'")


@pytest.mark.parametrize(
    ("written", "fixed"),
    [
        ("'<a>{payout}</a>'", "'<a>{Payout}</a>'"),
        ('"<a b=\\"x\\">{payout}</a>"', '"<a b=\\"x\\">{Payout}</a>"'),
        ("'''<a>\n{payout}</a>'''", "'''<a>\n{Payout}</a>'''"),
        ("'''\n<a>\n{payout}</a>'''", "'''\n<a>\n{Payout}</a>'''"),
        ("'''\n\n<a>{payout}</a>'''", "'''\n\n<a>{Payout}</a>'''"),
        ('"""\n<a>\n{payout}</a>\n"""', '"""\n<a>\n{Payout}</a>\n"""'),
        ("'<a>{payout</a>'", "'<a>{payout}</a>'"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_body_in_the_settings_keeps_its_quotes_and_everything_around_it(
    written: str, fixed: str, line_end: str
) -> None:
    before, after = (text.join(AROUND).replace("\n", line_end) for text in (written, fixed))
    source = NotificationSource(name="n.toml", text=before)
    result = rewritten(source, fix(parse_notification(source, None)).notification)

    assert result.text == after.replace("payout", "Payout")


@given(st.text(), st.sampled_from(QUOTES), st.booleans())
def test_any_body_can_be_written_and_reads_back_the_same(body: str, quotes: str, begins_with_a_break: bool) -> None:  # noqa: FBT001  drawn
    lead = "\n" if begins_with_a_break and len(quotes) == 3 else ""
    text = f"{quotes}{lead}x{quotes}".join(AROUND)
    before = parse_notification(source := NotificationSource(name="n.toml", text=text), None)
    # Braces would have to be a template.
    body = body.replace("{", "").replace("\r", "")
    result = rewritten(source, replace(before, body=Template.parse(body, options=before.template)))

    assert tomllib.loads(result.text) == {**tomllib.loads(text), "body": body}
    assert result.text.startswith(AROUND[0])
    assert result.text.endswith(AROUND[1])


def test_a_body_file_is_another_file() -> None:
    source = NotificationSource(name="n.toml", text='body_file = "b.txt"', files={"b.txt": '{"a": {SubId1}}\r\n'})
    result = rewritten(source, fix(parse_notification(source, None)).notification)

    assert (result.text, result.files) == (source.text, {"b.txt": '{"a": "{SubId1}"}\r\n'})


def test_a_text_that_would_read_back_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_document: object) -> str:
        return "body = '<a>{Payout}</a>'"

    monkeypatch.setattr("tomlkit.dumps", careless)
    source = NotificationSource(name="n.toml", text="body = '<a>{payout}</a>'\nbody_format = 'xml'")

    with pytest.raises(ConformanceError, match=r"n\.toml: the corrected body .* nothing was written"):
        rewritten(source, fix(parse_notification(source, None)).notification)


def test_the_address_of_picked_fields_is_left_alone() -> None:
    text = 'event = "action_inquiry"\nurl = "http://127.0.0.1/a b"\nquery_fields = ["Id"]'
    source = NotificationSource(name="n.toml", text=text)
    fixed = fix(parse_notification(source, None))

    assert "query.raw-character" in [finding.slug for finding in fixed.findings]
    assert rewritten(source, fixed.notification) == source
