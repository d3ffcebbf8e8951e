"""Takes impact.com's postbacks as XML, and answers once they are recorded."""

import hashlib
import hmac
import json
import logging
from datetime import UTC, datetime
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, ValidationError
from django.db import DatabaseError, IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from postbacks.models import Update
from postbacks.standing import standing

NAMES = (
    "action_id",
    "status",
    "payout",
    "delta_payout",
    "amount",
    "delta_amount",
    "currency",
    "event_date",
    "sub_id1",
    "campaign_name",
)


class RefusedError(Exception):
    """A request that is not taken; the status of the answer, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@csrf_exempt
@require_POST
def postback(request: HttpRequest) -> HttpResponse:
    """Record a postback, and then answer."""
    # In constant time: how long a comparison takes must not tell how much of a guess is right.
    if not hmac.compare_digest(request.headers.get("X-Api-Key", "").encode(), settings.PARTNER_KEY.encode()):
        return HttpResponse("who are you?", status=401, content_type="text/plain")
    try:
        record(update_of(body_of(request)))
    except RefusedError as error:
        return HttpResponse(str(error), status=error.status, content_type="text/plain")
    except DatabaseError:
        logging.getLogger(__name__).exception("a postback could not be recorded")
        # impact.com does not send again what was answered with 400 to 500.
        return HttpResponse("try again later", status=503, content_type="text/plain")
    return HttpResponse("OK", content_type="text/plain")


def body_of(request: HttpRequest) -> bytes:
    """Return the body, read to its end."""
    if request.content_type not in {"application/xml", "text/xml"}:
        raise RefusedError(415, "XML, please")
    try:
        return request.body
    except RequestDataTooBig:
        raise RefusedError(413, "too large") from None
    except UnreadablePostError:
        raise RefusedError(400, "cut short") from None


def update_of(body: bytes) -> Update:
    """Return what a postback tells. What cannot be booked is refused with 422; any text may be empty."""
    try:
        # Without document types there are no entities that unfold, and none that are fetched.
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise RefusedError(400, "no XML, or with a document type") from None
    values = {child.tag: child.text or "" for child in root}
    missing = [name for name in NAMES if name not in values]
    if root.tag != "postback" or missing or len(values) < len(root):
        raise RefusedError(
            422, f"missing: {', '.join(missing)}" if missing else "another document, or a repeated field"
        )
    known = {name: values[name] for name in NAMES}
    update = Update(
        **{**known, "event_date": instant_of(known["event_date"])},
        # Everything tells one update from another. The id alone does not: all updates of an action share it.
        fingerprint=hashlib.sha256(json.dumps(known).encode()).hexdigest(),
    )
    try:
        update.clean_fields()
    except ValidationError as error:
        raise RefusedError(422, f"cannot be booked: {', '.join(error.message_dict)}") from None
    return update


def instant_of(text: str) -> datetime | None:
    """Return a date with its offset, None for an empty text."""
    if not text:
        return None
    try:
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            raise RefusedError(422, "event_date without an offset")
        return date.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RefusedError(422, "event_date is no date") from None


def record(update: Update) -> None:
    """Record an update, unless it is there already; on return it is on the disk."""
    try:
        with transaction.atomic():
            update.save(force_insert=True)
    except IntegrityError:
        if not Update.objects.filter(fingerprint=update.fingerprint).exists():
            raise


@require_GET
def probe(request: HttpRequest) -> JsonResponse:
    """Tell what was recorded of an action, as Postback Kit asks for it; for test systems only."""
    action_id = request.GET.get("id", "")
    updates = list(Update.objects.filter(action_id=action_id).order_by("pk"))
    if not updates:
        return JsonResponse({"actions": {}})
    now = standing(updates)
    told = {
        "status": now.status,
        "payout": str(now.payout),
        "amount": str(now.amount),
        "currency": now.currency,
        "event_date": now.event_date and now.event_date.isoformat(),
        "sub_id1": now.sub_id1,
        "campaign_name": now.campaign_name,
        "updates": len(updates),
    }
    return JsonResponse({"actions": {action_id: told}})
