"""Settings of notifications that several tests of rules judge by, beside those of the rules' own examples."""

from postback_conformance.rules.examples import JSON_SETTINGS

CLEARING_SETTINGS = 'event = "action_clearing"\n' + JSON_SETTINGS
CLEARED = b'{"id": "1.2.3", "date": ""}'
MONEY_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "s": "{Status}", "p": "{Payout}", "d": "{DeltaPayout}"}'
"""
FORM_SETTINGS = """
url = "http://127.0.0.1/postback"
method = "POST"
body_format = "query"
body = "id={ActionId}&date={EventDate}"
"""
# Every place a value can stand in, and literal text that does not travel as it is written.
URL_SETTINGS = """
url = "http://127.0.0.1/pöst back/{ActionId}/x?id={ActionId}&name={CampaignName}&text=ä {Text1}&{SubId1}={SubId2}#top"
method = "GET"
[headers]
X-Partner = " Zürich "
"""
