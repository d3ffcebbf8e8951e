"""Where cases come from, each source named once."""

from functools import partial
from typing import Final

from postback_conformance.judging.rule import Source

_READ: Final = "2026-11-22"

HTTP: Final = partial(Source, document="RFC 9110", date="2022-06")
HTTP_1: Final = partial(Source, document="RFC 9112", date="2022-06")
JSON: Final = partial(Source, document="RFC 8259", date="2017-12")
XML: Final = partial(Source, document="XML 1.0", section="§4.4", date="2008-11")
URL_LENGTH: Final = HTTP(section="§4.1: URIs of at least 8000 octets")
ACKNOWLEDGE: Final = Source(
    document="impact.com OpenAPI, partner event notifications v16", section="responses: 2xx acknowledges", date=_READ
)
NO_RETRY: Final = Source(
    document="help centre, Test and troubleshoot a postback URL",
    section="what is not sent again: statuses 400 to 500",
    date=_READ,
)
MAXIMUM: Final = Source(
    document="help centre, Enable Action Clearing Events Notification",
    section="step 6: Maximum Requests",
    date="2023-08-31",
)
HEADER: Final = Source(
    document="help centre, Enable Action Clearing Events Notification", section="step 6: HTTP Header", date="2023-08-31"
)
PATIENCE: Final = Source(
    document="help centre of Branch, webhooks",
    section="a time-out of 2 s; impact.com publishes none",
    date=_READ,
    certainty="third-party",
)
OURS: Final = Source(
    document="Postback Kit", section="docs/harness.md: what an endpoint must stand", date=_READ, certainty="inferred"
)
XML_ATTACKS: Final = Source(
    document="CWE-611 and CWE-776", section="external entities; entity expansion", date=_READ, certainty="third-party"
)
