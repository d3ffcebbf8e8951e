"""Where rules about values, actions and lives come from, each named once; a rule adds the section it rests on."""

from functools import partial

from postback_conformance.judging.rule import Source

# Pages and API descriptions carry no date of their own: theirs is the day on which they were read.
_READ = "2026-11-22"

EXAMPLE_BODY = partial(
    Source, document="help centre, Enable Action Clearing Events Notification", section="step 5", date="2023-08-31"
)
LIFE_CYCLE = partial(Source, document="help centre, Understand the action life cycle and finance", date=_READ)
LIFE_CYCLE_FAQ = partial(Source, document="help centre, Action life cycle event notification FAQs", date=_READ)
EVENT_LEVEL = partial(Source, document="help centre, Set up Action Lifecycle postbacks", date=_READ)
MODIFICATIONS = partial(Source, document="help centre, Modify and reverse actions", date=_READ)
NOTIFICATIONS_API = partial(Source, document="impact.com OpenAPI, partner event notifications v16", date=_READ)
ACTIONS_API = partial(Source, document="impact.com OpenAPI, partner actions v16", date=_READ)
BRAND_ACTIONS_API = partial(Source, document="impact.com OpenAPI, brand actions v14", date=_READ)
CONVERSIONS_API = partial(Source, document="impact.com OpenAPI, brand conversions v14", date=_READ)
ACTION_OBJECT = partial(Source, document="impact.com API reference, the action object", date=_READ)
API_OBJECTS = partial(
    Source, document="impact.com OpenAPI, action inquiries, tracking value requests and jobs", date=_READ
)
CAPTURED_CALLS = partial(
    Source, document="captured production calls", section="three GETs", date="2026-05", certainty="third-party"
)
SAMPLE_CALL = partial(
    Source,
    document="test data of an open-source cashback back end",
    section="a GET",
    date="2020-07",
    certainty="third-party",
)
OLD_SAMPLE = partial(Source, document="an old sample of the Actions API", date="2017-01", certainty="third-party")
TRACKER_PRESET = partial(Source, document="network presets of a tracker", date=_READ, certainty="third-party")
OUR_MODEL = partial(
    Source,
    document="Postback Kit",
    section="ARCHITECTURE.md: a life is a walk in the plane of payout and amount",
    date=_READ,
    certainty="inferred",
)
