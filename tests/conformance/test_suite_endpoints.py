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
        pytest.param(Partner, JSON_SETTINGS, 40, id="json"),
        pytest.param(XmlPartner, XML_SETTINGS, 42, id="xml"),
        pytest.param(FormPartner, FORM_SETTINGS, 36, id="form"),
        pytest.param(GetPartner, GET_SETTINGS, 33, id="get"),
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


class ThinksAWhile(Partner):
    """Longer than anybody is to be kept waiting by a neighbour."""

    async def body(self, request: web.Request) -> bytes:
        # The neighbours', who send slowly, is not there yet.
        if request.content.at_eof() or request.content.is_eof():
            self.clock.let_pass(1.5)
        return await super().body(request)


def test_an_endpoint_that_takes_its_time_is_not_kept_waiting_by_its_neighbours() -> None:
    (found,) = conform(ThinksAWhile(), only=("latency.slow-neighbour",))
    assert found.outcome == "pass", found.message


def test_a_template_without_the_id_leaves_nothing_to_be_looked_up() -> None:
    settings = JSON_SETTINGS.replace("{ActionId}", "{CampaignId}")
    cases = ("accepts.documented-example", "recovery.cut-mid-body", "latency.burst", "recovery.restart")
    found = {one.rule: one.outcome for one in conform(Partner(), settings, only=cases)}
    assert found == {
        "accepts.documented-example": "pass",
        "latency.burst": "pass",
        "recovery.cut-mid-body": "not_applicable",
        "recovery.restart": "not_applicable",
    }
