"""When a failed postback is sent again: retry profiles as data, each with the source it is read from."""

from enum import StrEnum

import msgspec

from postback_sender.quantities import parse_duration


class Failure(StrEnum):
    """Why an attempt was no success; the values are how logs call it."""

    ANSWER = "error answer"
    TIMEOUT = "no answer in time"
    CONNECTION = "no connection"
    BROKEN_ANSWER = "broken answer"
    TLS = "no trusted connection"
    HOST_NOT_FOUND = "host not found"
    FORBIDDEN_ADDRESS = "forbidden address"
    MALFORMED_URL = "malformed URL"
    CUT_OFF = "cut off"
    """Its sender ended first. Nobody knows whether the endpoint has it, and no policy counts it."""


_CUSTOM = "custom"


class RetryProfile(msgspec.Struct, frozen=True, kw_only=True):
    """After which failures, and after how long, a postback is sent again.

    `delays_ns` holds the wait after each failed attempt, so its length is the most retries there can be.
    `final_statuses` are answers after which impact.com gives up at once, as a range (first, last). With
    `honours_retry_after` an answer's `Retry-After` lengthens the wait, to at most twice the planned one.
    """

    name: str
    delays_ns: tuple[int, ...]
    honours_retry_after: bool = False
    final_failures: frozenset[Failure] = frozenset()
    final_statuses: tuple[int, int] | None = None
    source: str = ""

    @property
    def title(self) -> str:
        """What people call it in a sentence."""
        return self.source if self.name == _CUSTOM else f"the retry profile {self.name}"

    def retries(self, failure: Failure, status: int | None) -> bool:
        """Tell whether this kind of failure is worth another attempt at all."""
        if failure in self.final_failures or failure is Failure.FORBIDDEN_ADDRESS:
            return False
        first, last = self.final_statuses or (0, -1)
        return status is None or not first <= status <= last


# The help centre had a table of delays, lost in every public copy. This one is ours: it rides out a restart within
# minutes and an outage within a day, in the fifteen retries the same page grants.
_DELAYS = tuple(
    parse_duration(text)
    for text in ("5s", "15s", "30s", "1m", "2m", "5m", "10m", "15m", "30m", "1h", "1h", "2h", "4h", "6h", "8h")
)

RETRY_PROFILES: dict[str, RetryProfile] = {
    "help-centre": RetryProfile(
        name="help-centre",
        delays_ns=_DELAYS,
        final_failures=frozenset({Failure.MALFORMED_URL, Failure.HOST_NOT_FOUND}),
        final_statuses=(400, 500),
        source='help centre, "Test and troubleshoot a postback URL": at most 15 retries; none for a malformed URL, '
        "an unknown host, or statuses 400 to 500",
    ),
    "openapi": RetryProfile(
        name="openapi",
        delays_ns=_DELAYS,
        final_failures=frozenset({Failure.MALFORMED_URL}),
        source="impact.com's OpenAPI of event notifications (v16): any answer but 2xx is sent again",
    ),
    "none": RetryProfile(name="none", delays_ns=(), source="a choice of the settings"),
}


def custom_profile(delays_ns: tuple[int, ...]) -> RetryProfile:
    """Return the profile of an explicit schedule, which retries after every failure."""
    return RetryProfile(name=_CUSTOM, delays_ns=delays_ns, source="the schedule in the settings")
