"""Small captures for the examples of rules: a whole request by default, with only what matters spelt out."""

from postback_conformance.rule import Example
from postback_receiver import Answer, Capture

_SECOND_NS = 1_000_000_000
# 2026-05-11T00:07:30+03:00, three seconds after the example's event date.
_ARRIVAL_NS = 1_778_447_250 * _SECOND_NS
_JSON = ("Content-Type", "application/json")

JSON_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "date": "{EventDate}"}'
"""
XML_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "xml"
body = "<a><id>{ActionId}</id></a>"
"""
QUERY_SETTINGS = """
url = "http://127.0.0.1/postback?id={ActionId}&sub={SubId1}"
method = "GET"
"""


def capture(
    body: bytes = b"",
    *,
    method: str = "POST",
    target: str = "/postback",
    headers: tuple[tuple[str, str], ...] = (_JSON,),
    at_s: float = 0.0,
    status: int = 200,
    truncated: bool = False,
) -> Capture:
    """Return a capture that arrived `at_s` seconds after the first and was answered with `status`."""
    after_ns = round(at_s * _SECOND_NS)
    return Capture(
        id=f"example-{after_ns}",
        endpoint="/",
        received_at_ns=_ARRIVAL_NS + after_ns,
        monotonic_ns=after_ns,
        connection="c1",
        connection_request=1,
        remote="127.0.0.1:5000",
        http_version="1.1",
        method=method,
        target=target,
        headers=headers,
        body=body,
        truncated=truncated,
        answer=Answer(status=status, sent_at_ns=_ARRIVAL_NS + after_ns + 1),
    )


def example(settings: str, *captures: Capture) -> Example:
    """Return an example of settings and captures."""
    return Example(settings=settings, captures=captures)
