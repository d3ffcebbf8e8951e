"""The suite against endpoints that do everything right; `tests/mutants` has those that do something wrong."""

import pytest
from aiohttp import web

from partner_endpoint import (
    FORM_SETTINGS,
    GET_SETTINGS,
    JSON_SETTINGS,
    XML_SETTINGS,
    FormPartner,
    GetPartner,
    Partner,
    Refused,
    XmlPartner,
    conform,
)

# These take seconds by design, and are tried with the mutants.
SLOW = ("latency.slow-neighbour", "state.life-cycles")


@pytest.mark.parametrize(
    ("partner", "settings", "applicable"),
    [
        pytest.param(Partner, JSON_SETTINGS, 37, id="json"),
        pytest.param(XmlPartner, XML_SETTINGS, 39, id="xml"),
        pytest.param(FormPartner, FORM_SETTINGS, 33, id="form"),
        pytest.param(GetPartner, GET_SETTINGS, 30, id="get"),
    ],
)
def test_an_endpoint_that_does_everything_right_passes_everything(
    partner: type[Partner], settings: str, applicable: int
) -> None:
    verdicts = conform(partner(), settings, skip=SLOW)
    assert [one for one in verdicts if one.outcome not in {"pass", "not_applicable"}] == []
    assert sum(one.outcome == "pass" for one in verdicts) == applicable
    assert all(one.message for one in verdicts)


def test_without_a_probe_what_needs_one_does_not_apply() -> None:
    verdicts = conform(Partner(), only=("accepts.text-kept", "recovery.cut-mid-body"), probe=False)
    assert [(one.outcome, "no probe" in one.message) for one in verdicts] == [("not_applicable", True)] * 2


class HasATokenInItsUrl(GetPartner):
    def authorize(self, request: web.Request) -> None:
        if request.query.get("token") != "abc":
            raise Refused(403, "who are you?")


def test_a_secret_in_the_url_is_tried_as_well() -> None:
    settings = GET_SETTINGS.replace("postback?", "postback?token=abc&").replace("headers", "#")
    (found,) = conform(HasATokenInItsUrl(), settings, only=("rejects.missing-secret",))
    assert found.outcome == "pass"
    missing = conform(GetPartnerOfAnybody(), settings, only=("rejects.missing-secret",))
    assert [one.message.partition(" was ")[0] for one in missing] == [
        "a postback without its parameter token",
        "a postback with another token",
        "a postback without the right secret",
    ]


class GetPartnerOfAnybody(GetPartner):
    def authorize(self, request: web.Request) -> None:
        _ = request
