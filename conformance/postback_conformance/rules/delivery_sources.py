"""Where rules about delivery come from, each named once; a rule adds the section it rests on."""

from functools import partial

from postback_conformance.judging.rule import Source

# Pages and API descriptions carry no date of their own: theirs is the day on which they were read.
_READ = "2026-11-22"

SETTINGS_PAGE = partial(
    Source, document="help centre, Enable Action Clearing Events Notification", section="step 6", date="2023-08-31"
)
PRODUCT_DATA_PAGE = partial(Source, document="help centre, Set up product data notifications", date=_READ)
PRODUCT_DATA_FAQ = partial(Source, document="help centre, Product data notification FAQs", date=_READ)
INQUIRY_FAQ = partial(Source, document="help centre, Action inquiry event notification FAQs", date=_READ)
TROUBLESHOOTING = partial(Source, document="help centre, Test and troubleshoot a postback URL", date=_READ)
