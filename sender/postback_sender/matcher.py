"""What the partner's server is expected to answer: the Success Response and Error Response of a notification."""

import re

import msgspec

# An answer is evidence, not data: what a server says beyond this is cut before it is compared or stored.
MAX_ANSWER_BYTES = 64 * 1024


class ResponseMatcher(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which answers count: every condition that is set must hold. Bodies are compared as text, decoded leniently.

    impact.com asks for "what you want the success/error response to the postback to be" and never explains it; the
    reading here is a text, or a status, by which success is told from failure.
    """

    status: tuple[int, ...] = ()
    body_equals: str | None = None
    body_contains: str | None = None
    body_regex: str | None = None

    def matches(self, status: int, body: bytes) -> bool:
        """Tell whether an answer meets every condition."""
        text = body.decode("utf-8", "replace")
        return all(
            (
                not self.status or status in self.status,
                self.body_equals is None or text.strip() == self.body_equals.strip(),
                self.body_contains is None or self.body_contains in text,
                self.body_regex is None or re.search(self.body_regex, text) is not None,
            )
        )
