"""Small captures for the examples of rules: a whole request by default, with only what matters spelt out."""

from postback_conformance.judging.rule import Example
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
JSON_BODY = b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'
"""What these settings say, of one action."""
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
    answered_after_s: float = 0.0,
    truncated: bool = False,
    is_framed: bool = True,
) -> Capture:
    """Return a capture that arrived `at_s` seconds after the first and was answered with `status`.

    Where `headers` say nothing of them, `Host` and the length of the body are added, if it `is_framed`.
    """
    after_ns = round(at_s * _SECOND_NS)
    answered_ns = after_ns + round(answered_after_s * _SECOND_NS) + 1
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
        headers=_framed(headers, body) if is_framed else headers,
        body=body,
        truncated=truncated,
        answer=Answer(status=status, sent_at_ns=_ARRIVAL_NS + answered_ns, sent_ns=answered_ns),
    )


def _framed(headers: tuple[tuple[str, str], ...], body: bytes) -> tuple[tuple[str, str], ...]:
    names = {name.lower() for name, _ in headers}
    ours = [("Host", "127.0.0.1")] if "host" not in names else []
    theirs = (
        [("Content-Length", str(len(body)))] if body and not names & {"content-length", "transfer-encoding"} else []
    )
    return (*ours, *headers, *theirs)


def example(settings: str, *captures: Capture) -> Example:
    """Return an example of settings and captures."""
    return Example(settings=settings, captures=captures)
