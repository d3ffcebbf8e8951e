"""The catalogue rows of the two action kinds: official tokens first, then what can be inferred, then hearsay.

Examples are invented, but have the shape of real traffic, and all rows together tell the story of one fresh action. A
token without an example is usually empty on the wire, or has never been seen there.
`join` is not here: it is a function of the template language, not a token.
"""

from functools import partial

from postback_sender.token_model import (
    CLICK_ID_FORMAT,
    COUNTRY_FORMAT,
    DATE_FORMAT,
    DIGITS,
    MONEY_FORMAT,
    EventKind,
    Token,
)

_ACTIONS: frozenset[EventKind] = frozenset({"action_lifecycle", "action_clearing"})
_LIFECYCLE: frozenset[EventKind] = frozenset({"action_lifecycle"})

_ACTION_STATUS = ("PENDING", "APPROVED", "REVERSED")

# Rows share their provenance, so each family of rows states it once.
_action = partial(
    Token, kinds=_ACTIONS, source="impact.com help centre, article 155000000882, example body", certainty="official"
)
_item = partial(_action, of_items=True)
_action_api = partial(
    Token, kinds=_ACTIONS, source="impact.com OpenAPI, Actions: a field of the API object", certainty="inferred"
)
_conversion_api = partial(
    Token,
    kinds=_ACTIONS,
    source="impact.com OpenAPI, Conversions: a custom field a brand can send",
    certainty="inferred",
)
_hearsay = partial(Token, kinds=_LIFECYCLE, certainty="third-party")

_OFFICIAL = (
    _action(name="CampaignId", type="id", format=DIGITS, meaning="The program.", example="1000", may_be_empty=False),
    _action(
        name="ActionTrackerId", type="id", format=DIGITS, meaning="The event type.", example="2240", may_be_empty=False
    ),
    _action(
        name="MediaPartnerId", type="id", format=DIGITS, meaning="The partner.", example="10000", may_be_empty=False
    ),
    _action(
        name="CampaignName",
        type="text",
        format="as the brand typed it, not trimmed",
        meaning="Name of the program; blanks at its end arrive too.",
        example="Acme Sports ",
    ),
    _action(name="ActionTrackerName", type="text", meaning="Name of the event type.", example="Purchase"),
    _action(name="MediaPartnerName", type="text", meaning="Name of the partner.", example="Example Partner"),
    _action(
        name="ActionType",
        type="enum",
        format="no list of its values is published; the spelling of the example is inferred",
        meaning="Category of the event type: a sale, a lead, a download and so on.",
        example="SALE",
    ),
    _action(
        name="ReferringType",
        type="enum",
        values=(
            "CLICK_COOKIE",
            "CLICK_FINGERPRINT",
            "CALL",
            "PROMOCODE",
            "ACTION",
            "REPORTED_PARTNER_ID",
            "IMPRESSION_COOKIE",
            "IMPRESSION_FINGERPRINT",
            "ACTION_INQUIRY",
        ),
        meaning="How the action was attributed to the partner; the values are those of the Actions API.",
        example="CLICK_COOKIE",
    ),
    _action(
        name="ActionId",
        type="id",
        format="campaign id, dot, days from 2008-01-01 to the event date, dot, sequence (inferred: treat it as opaque)",
        meaning="The action; the same in every postback about it.",
        example="1000.6705.158133",
        may_be_empty=False,
    ),
    _action(
        name="Status",
        type="enum",
        values=_ACTION_STATUS,
        meaning="Where the action is in its life: open, locked in, or taken back.",
        example="PENDING",
        may_be_empty=False,
    ),
    _action(
        name="StatusDetail",
        type="text",
        format="in reports: Open, Payment Pending, Paid, Overdue, Defaulted, a reversal reason, or a brand's own code; "
        "the spelling on the wire is unknown",
        meaning="Why the action has its status; empty for a fresh pending action.",
    ),
    _action(name="AdId", type="id", format=DIGITS, meaning="The ad behind the winning click.", example="614286"),
    _action(
        name="Payout",
        type="money",
        format=MONEY_FORMAT,
        meaning="Commission as it stands now; 0.00 once the action is reversed.",
        example="0.88",
        may_be_empty=False,
    ),
    _action(
        name="DeltaPayout",
        type="money",
        format=f"{MONEY_FORMAT}; can be negative",
        meaning="Commission now minus commission at the previous update; the whole commission if there was none.",
        example="0.88",
        may_be_empty=False,
    ),
    _action(
        name="IntendedPayout",
        type="money",
        format=MONEY_FORMAT,
        meaning="Commission before anything was modified; never changes.",
        example="0.88",
        may_be_empty=False,
    ),
    _action(
        name="Amount",
        type="money",
        format=MONEY_FORMAT,
        meaning="Sale amount as it stands now; 0.00 once the action is reversed.",
        example="21.99",
        may_be_empty=False,
    ),
    _action(
        name="DeltaAmount",
        type="money",
        format=f"{MONEY_FORMAT}; can be negative",
        meaning="Sale amount now minus sale amount at the previous update; the whole amount if there was none.",
        example="21.99",
        may_be_empty=False,
    ),
    _action(
        name="IntendedAmount",
        type="money",
        format=MONEY_FORMAT,
        meaning="Sale amount before anything was modified; never changes.",
        example="21.99",
        may_be_empty=False,
    ),
    _action(
        name="Currency",
        type="currency",
        format="ISO 4217",
        meaning="Currency of the amounts above: normally the account's, not the order's.",
        example="USD",
        may_be_empty=False,
    ),
    _action(
        name="OriginalCurrency",
        type="currency",
        format="ISO 4217",
        meaning="Currency in which the brand reported the order.",
        example="USD",
    ),
    _action(
        name="OriginalAmount",
        type="money",
        format=MONEY_FORMAT,
        meaning="Sale amount in the currency in which the brand reported it.",
        example="21.99",
    ),
    _action(
        name="EventDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the customer converted.",
        example="2026-05-11T00:07:27+03:00",
        may_be_empty=False,
    ),
    _action(
        name="CreationDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When impact.com made its record; empty in every captured call.",
    ),
    _action(
        name="LockingDate",
        type="datetime",
        format=f"{DATE_FORMAT}; midnight, or the first moment of a day that has none",
        meaning="When the action locks: no modification or reversal after it.",
        example="2026-06-16T00:00:00+03:00",
    ),
    _action(
        name="ClearedDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the commission cleared; empty before that.",
    ),
    _action(
        name="ReferringDomain",
        type="text",
        format="host name, often empty",
        meaning="Site on which the winning click happened.",
        example="reviews.example",
    ),
    _action(
        name="LandingPageUrl",
        type="url",
        format="absolute, click id in its query",
        meaning="Page to which the winning click led.",
        example="https://shop.example/balls?irclickid=zXk4Qm2Rr9xyTq0Vb:LdPc-UkX1A4hYwU8sE0W7&irgwc=1",
    ),
    _action(
        name="RefCustomerArea",
        type="text",
        format="market area code, or n/a",
        meaning="Market area of the customer who clicked.",
        example="855",
    ),
    _action(name="RefCustomerCity", type="text", meaning="City of the customer who clicked.", example="Santa Barbara"),
    _action(name="RefCustomerRegion", type="text", meaning="Region of the customer who clicked.", example="California"),
    _action(
        name="RefCustomerCountry",
        type="text",
        format=COUNTRY_FORMAT,
        meaning="Country of the customer who clicked.",
        example="US",
    ),
    _action(
        name="RefClickId",
        type="text",
        format=CLICK_ID_FORMAT,
        meaning="The winning click: the irclickid that came to the landing page.",
        example="zXk4Qm2Rr9xyTq0Vb:LdPc-UkX1A4hYwU8sE0W7",
    ),
    _action(name="SharedId", type="text", meaning="Shared id of the tracking link.", example="RT-19247423"),
    _action(
        name="SubId1",
        type="text",
        meaning="First sub id of the tracking link, in which partners put their own click id.",
        example="7d1f0a52-3c1e-4f7b-9a55-0e6d2f4b8c11",
    ),
    _action(name="SubId2", type="text", meaning="Second sub id of the tracking link."),
    _action(name="SubId3", type="text", meaning="Third sub id of the tracking link."),
    _action(name="Text1", type="text", meaning="First custom text of the brand."),
    _action(name="Text2", type="text", meaning="Second custom text of the brand."),
    _action(name="PromoCode", type="text", meaning="Promo code used in the order.", example="SUMMERSALE2026"),
    _action(
        name="items",
        type="list",
        format="only as the list of a join",
        meaning="The lines of the order.",
    ),
)

_ITEM_FIELDS = (
    _item(name="sku", type="text", format="at most 40 characters", meaning="Article number.", example="APP-0016"),
    _item(
        name="amt",
        type="money",
        format=f"{MONEY_FORMAT}; the sample body puts no quotes around it",
        meaning="Amount of the whole line.",
        example="11.99",
    ),
    _item(name="cat", type="text", meaning="Category.", example="Sports"),
    _item(
        name="qty", type="number", format="the sample body puts no quotes around it", meaning="Quantity.", example="1"
    ),
    _item(
        name="cartamt",
        type="money",
        format=f"{MONEY_FORMAT}; the sample body puts no quotes around it",
        meaning="Cart amount; nobody explains how it differs from the line's amount.",
        example="11.99",
    ),
    _item(name="rbt", type="money", format=MONEY_FORMAT, meaning="Rebate.", example="1.00"),
    _item(name="name", type="text", meaning="Name of the article.", example="Tennis balls"),
    _item(name="itemlist", type="text", meaning="Undocumented; the sample body writes it under the key category_list."),
)

_INFERRED = (
    _action_api(name="Oid", type="id", format="at most 64 letters and digits", meaning="The brand's order."),
    _action_api(name="CustomerId", type="id", meaning="The brand's customer."),
    _action_api(
        name="CustomerStatus",
        type="enum",
        format="NEW, EXISTING or a brand's own word",
        meaning="Whether the customer is new to the brand.",
    ),
    _action_api(name="CustomerPostCode", type="text", meaning="Post code of the customer."),
    _action_api(name="EventCode", type="text", meaning="Code of the event type."),
    _action_api(name="ReferringDate", type="datetime", format=DATE_FORMAT, meaning="When the winning click happened."),
    _action_api(name="Note", type="text", meaning="A note on the action."),
    _action_api(name="CallerId", type="text", meaning="Caller of a tracked phone call."),
    # Text1 and Text2 are official.
    *(
        _conversion_api(name=f"Text{number}", type="text", meaning=f"Custom text {number} of the brand.")
        for number in range(3, 51)
    ),
    *(
        _conversion_api(
            name=f"Numeric{number}",
            type="number",
            format="decimal(18,2)",
            meaning=f"Custom number {number} of the brand.",
        )
        for number in range(1, 11)
    ),
    *(
        _conversion_api(
            name=f"Money{number}",
            type="money",
            format="decimal(18,2)",
            meaning=f"Custom amount {number} of the brand.",
        )
        for number in range(1, 4)
    ),
    *(
        _conversion_api(
            name=f"Date{number}", type="datetime", format=DATE_FORMAT, meaning=f"Custom date {number} of the brand."
        )
        for number in range(1, 16)
    ),
)

_HEARSAY = (
    _hearsay(
        name="OID",
        type="id",
        meaning="Said to be the order or the action; the official list has no such name.",
        source="affpixel.com/blog/impact-postback-setup",
    ),
    _hearsay(
        name="ActionStatus",
        type="enum",
        values=_ACTION_STATUS,
        meaning="Said to be the status; the official name is Status.",
        source="affpixel.com/blog/impact-postback-setup",
    ),
    _hearsay(
        name="OrderId",
        type="id",
        meaning="Said to be the order; seen as orderId in one tracker's preset.",
        source="preset of a third-party tracker",
    ),
)

ACTION_TOKENS: tuple[Token, ...] = (*_OFFICIAL, *_ITEM_FIELDS, *_INFERRED, *_HEARSAY)
