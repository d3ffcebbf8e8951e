"""Whatever a template holds, it can be linted and fixed, and fixing it twice is fixing it once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lint_templates import RAW, SOUND, assert_fixed_twice_is_fixed_once, notification_of
from postback_conformance.lint import fix, lint
from postback_sender import SenderError
from postback_sender.notification import BodyFormat

HOSTILE_TEXT = st.lists(
    st.sampled_from(
        (
            *("{", "}", "[", "]", '"', "'", ":", ",", "\\", "\\{", "\\}", '\\"', "\n", "\t", " ", "&", "=", "%", "#"),
            *(
                "<",
                ">",
                "/",
                "!--",
                "-->",
                "<?xml",
                "?>",
                "<![CDATA[",
                "]]>",
                "&amp;",
                "a",
                "1",
                "true",
                "\x00",
                "\x7f",
            ),
            *(
                "{Payout}",
                "{payout}",
                "{SubId1",
                "{Sub Id1}",
                "{i.sku}",
                "{Nope}",
                "{{Payout}}",
                "{{ sub_id",
                "}}",
                "${SubId1}",
                "[Payout]",
                "%Payout%",
                '{join(items, i, "',
                '{join(items, i, "")}',
                '{join(items, i, "{i.sku}", "&#")}',
                '")}',
                "// ",
                "/*",
                "*/",
                "<!DOCTYPE a [<!ENTITY b 'c'>]>",
                "&b;",
                "api_key",
                "\ufeff",
                ', "',
                "$",
            ),
            *(
                "\N{LEFT DOUBLE QUOTATION MARK}",
                "\N{RIGHT DOUBLE QUOTATION MARK}",
                "\ue000",
                "\ue001",
                "\ue002",
                "\U0001f600",
            ),
        )
    ),
    max_size=25,
).map("".join)


@settings(max_examples=30, deadline=None)
@given(
    body=st.one_of(HOSTILE_TEXT, st.text(max_size=40)),
    url=HOSTILE_TEXT,
    body_format=st.sampled_from(tuple(SOUND)),
    more=st.sampled_from(("", RAW, '[template]\nunknown_token = "error"')),
)
def test_any_template_can_be_linted_and_fixed_and_fixing_it_twice_is_fixing_it_once(
    body: str, url: str, body_format: BodyFormat, more: str
) -> None:
    assert_fixed_twice_is_fixed_once(body, body_format, url=f"http://h/{url}", more=more)


@settings(max_examples=30, deadline=None)
@given(body=HOSTILE_TEXT, body_format=st.sampled_from(tuple(SOUND)))
def test_nothing_is_written_that_has_more_findings_than_before(body: str, body_format: BodyFormat) -> None:
    try:
        notification = notification_of(body, body_format)
    except SenderError:
        return
    assert len(fix(notification).findings) <= len(lint(notification))
