"""A URL within a request loses its secrets and nothing else, and the same secret is known again wherever it stood."""

import re
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest

from postback_conformance.redaction import keyed_hashes, redacted_body, redacted_target


@pytest.mark.parametrize("end", ["", ")", "]", "]]"])
def test_a_url_at_the_end_of_a_cdata_section_leaves_it_closed(end: str) -> None:
    """As `<![CDATA[{LandingPageUrl}]]>` in a template says it."""
    body = f"<a><b><![CDATA[https://h/?x=1&token=hunter2{end}]]></b><c>1</c></a>".encode()
    shown = redacted_body(body, "xml")
    assert b"hunter2" not in shown
    read = ET.fromstring(shown)  # noqa: S314  ours
    assert (read.findtext("b"), read.findtext("c")) == ("https://h/?x=1&token=[hidden]", "1")


@pytest.mark.parametrize("secret", ["hunter2", "a/b", "50%", "p&q", "k+1", "é"])
def test_a_secret_of_a_url_within_a_parameter_has_the_hash_it_has_elsewhere(secret: str) -> None:
    """There it is encoded once more, in a body and in a target."""
    inner = f"https://h/?token={quote(secret, safe='')}"
    within = f"/p?u={quote(inner, safe='')}&z=1"
    hide = keyed_hashes(b"key")
    shown = [
        redacted_target(f"/p?token={quote(secret, safe='')}", hide=hide),
        redacted_target(within, hide=hide),
        redacted_body(f'{{"u": "https://o{within}"}}'.encode(), "json", hide).decode(),
        redacted_body(f'{{"u": "{inner}"}}'.encode(), "json", hide).decode(),
        redacted_body(within[3:].encode(), "form", hide).decode(),
    ]
    hashes = [re.findall(r"\[secret:[0-9a-f]+\]", each) for each in shown]
    assert hashes == [hashes[0]] * len(shown)
    assert len(hashes[0]) == 1
