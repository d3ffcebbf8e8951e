"""The catalogue rows of the kinds whose token lists are not public, inferred from the API objects behind them.

Examples are invented; all rows of one kind together tell one consistent story. `product_data_change` has no rows: no
API object stands behind it either.
"""

from functools import partial

from postback_sender.token_model import DATE_FORMAT, DIGITS, MONEY_FORMAT, UUID_FORMAT, Token

# Rows share their provenance, so each kind states it once.
_inquiry = partial(
    Token,
    kinds=frozenset({"action_inquiry"}),
    source="impact.com OpenAPI, Action Inquiries: a field of the API object",
    certainty="inferred",
)
_request = partial(
    Token,
    kinds=frozenset({"tracking_value_request"}),
    source="impact.com OpenAPI, Tracking Value Requests: a field of the API object",
    certainty="inferred",
)
_job = partial(
    Token,
    kinds=frozenset({"job_completion"}),
    source="impact.com OpenAPI, Jobs: a field of the API object",
    certainty="inferred",
)

_INQUIRY = (
    _inquiry(name="Id", type="id", format=DIGITS, meaning="The inquiry.", example="48213"),
    _inquiry(
        name="MediaPartnerInquiryId",
        type="id",
        meaning="The partner's own number of the inquiry.",
        example="INQ-2026-17",
    ),
    _inquiry(name="CampaignId", type="id", format=DIGITS, meaning="The program asked about.", example="1000"),
    _inquiry(name="CampaignName", type="text", meaning="Name of the program.", example="Acme Sports "),
    _inquiry(name="MediaPartnerId", type="id", format=DIGITS, meaning="The partner who asks.", example="10000"),
    _inquiry(name="MediaPartnerName", type="text", meaning="Name of the partner.", example="Example Partner"),
    _inquiry(name="OrderId", type="id", meaning="The order the customer says is missing or wrong.", example="A-77120"),
    _inquiry(
        name="TransactionDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the customer ordered.",
        example="2026-05-04T19:30:00+03:00",
    ),
    _inquiry(
        name="TransactionAmount", type="money", format=MONEY_FORMAT, meaning="What the order cost.", example="54.90"
    ),
    _inquiry(name="CustomerId", type="id", meaning="The partner's customer.", example="member-5512"),
    _inquiry(
        name="InquiryType",
        type="enum",
        values=("UNTRACKED", "INCORRECT", "DECLINED"),
        meaning="What is wrong: no action, wrong figures, or a declined one.",
        example="UNTRACKED",
    ),
    _inquiry(
        name="ExpectedPayout",
        type="money",
        format=MONEY_FORMAT,
        meaning="Commission the partner expects.",
        example="2.20",
    ),
    _inquiry(
        name="ResolutionDeadlineDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the brand must have answered.",
        example="2026-06-10T00:00:00+03:00",
    ),
    _inquiry(
        name="TrackingLink",
        type="url",
        meaning="Link through which the customer came.",
        example="https://track.example/c/10000/614286/1000",
    ),
    _inquiry(name="ActionId", type="id", meaning="The action asked about, or the one made for it."),
    _inquiry(
        name="AutoApprovalDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When an unanswered inquiry counts as valid.",
        example="2026-06-17T00:00:00+03:00",
    ),
    _inquiry(
        name="ResolutionStatus",
        type="enum",
        values=("UNRESOLVED", "VALID", "DECLINED", "INCOMPLETE"),
        meaning="How the inquiry was answered, if it was.",
        example="UNRESOLVED",
    ),
    _inquiry(
        name="RejectReason",
        type="text",
        format="one of nine fixed sentences",
        meaning="Why the brand declined; empty otherwise.",
    ),
    _inquiry(
        name="FinalPayout", type="money", format=MONEY_FORMAT, meaning="Commission granted; empty until resolved."
    ),
    _inquiry(
        name="ResolutionDate", type="datetime", format=DATE_FORMAT, meaning="When the brand answered; empty until then."
    ),
    _inquiry(
        name="CreationDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the inquiry was opened.",
        example="2026-05-11T00:07:27+03:00",
    ),
)

_REQUEST = (
    _request(name="Id", type="id", meaning="The request.", example="9031"),
    _request(name="CampaignId", type="id", format=DIGITS, meaning="The program.", example="1000"),
    _request(name="CampaignName", type="text", meaning="Name of the program.", example="Acme Sports "),
    _request(name="MediaPartnerId", type="id", format=DIGITS, meaning="The partner.", example="10000"),
    _request(name="MediaPartnerName", type="text", meaning="Name of the partner.", example="Example Partner"),
    _request(
        name="RequestType",
        type="enum",
        values=("PROMOCODE_TRACKING", "BRANDED_URL_TRACKING", "PHONE_NUMBER_TRACKING"),
        meaning="What is asked for: promo codes, branded addresses or phone numbers.",
        example="PROMOCODE_TRACKING",
    ),
    _request(name="NumberRequested", type="number", meaning="How many of them.", example="3"),
    _request(
        name="State",
        type="enum",
        values=("NEW", "APPROVED", "COMPLETED", "DECLINED"),
        meaning="How far the request has come.",
        example="NEW",
    ),
    _request(
        name="DatePlaced",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When it was asked for.",
        example="2026-05-11T00:07:27+03:00",
    ),
    _request(
        name="DateNeeded",
        type="datetime",
        format=DATE_FORMAT,
        meaning="By when it is needed.",
        example="2026-05-25T00:00:00+03:00",
    ),
    _request(
        name="DateCompleted", type="datetime", format=DATE_FORMAT, meaning="When it was fulfilled; empty until then."
    ),
    _request(
        name="AdditionalInstructions",
        type="text",
        meaning="What else the partner wants to say.",
        example="Codes should start with BALL.",
    ),
    _request(name="DealId", type="id", meaning="The deal the values are for.", example="55120"),
    _request(name="DealName", type="text", meaning="Name of the deal.", example="Summer sale"),
)

_JOB = (
    _job(name="Id", type="id", format=UUID_FORMAT, meaning="The job.", example="3f0b6c1e-58d2-4b64-9d27-6f1f3f7a1c02"),
    _job(
        name="Type",
        type="enum",
        values=("DownloadReport", "ApiReport", "UploadAds", "TermModification", "ClickExport"),
        meaning="What the job does; only report and click exports are said to notify.",
        example="ClickExport",
    ),
    _job(name="ProgramId", type="id", format=DIGITS, meaning="The program.", example="1000"),
    _job(
        name="CreatedDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When the job was asked for.",
        example="2026-05-11T00:01:10+03:00",
    ),
    _job(
        name="StartedDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When it began to run.",
        example="2026-05-11T00:01:12+03:00",
    ),
    _job(
        name="CompletedDate",
        type="datetime",
        format=DATE_FORMAT,
        meaning="When it ended well; empty otherwise.",
        example="2026-05-11T00:07:27+03:00",
    ),
    _job(name="FailedDate", type="datetime", format=DATE_FORMAT, meaning="When it failed; empty otherwise."),
    _job(
        name="Status",
        type="enum",
        values=("QUEUED", "RUNNING", "COMPLETED", "CANCELLED", "ERROR", "FAILED"),
        meaning="How far the job has come.",
        example="COMPLETED",
    ),
    _job(name="StatusMessage", type="text", meaning="What the job says about itself."),
    _job(name="RecordsProcessed", type="number", meaning="How many records it has handled.", example="1200"),
    _job(name="PercentageComplete", type="number", meaning="How much of it is done, 0 to 100.", example="100"),
    _job(
        name="ResultUri",
        type="url",
        format="a path of the API, or absolute",
        meaning="Where its result can be fetched.",
        example="https://api.example/Jobs/3f0b6c1e-58d2-4b64-9d27-6f1f3f7a1c02/Download",
    ),
)

API_OBJECT_TOKENS: tuple[Token, ...] = (*_INQUIRY, *_REQUEST, *_JOB)
