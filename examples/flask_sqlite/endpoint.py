"""Takes impact.com's postbacks by GET, or by POST as a form, and answers once they are recorded."""

import hmac
import os
import re
import sqlite3
from urllib.parse import parse_qsl

from flask import Flask, Response, abort, jsonify, request

from ledger import MONEY, NAMES, Ledger, Update, update_of_texts
from standing import standing

MAX_BODY_BYTES = 256 * 1024
# Decimal itself would also take "NaN", "1e999999" and "1_000".
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,4})?")


def create_app(ledger: Ledger, *, key: str, has_probe: bool = False) -> Flask:
    """Make the application; `key` is what the header X-Api-Key has to say."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES

    @app.route("/postback", methods=["GET", "POST"])
    def postback() -> Response:
        # In constant time: how long a comparison takes must not tell how much of a guess is right.
        if not hmac.compare_digest(request.headers.get("X-Api-Key", "").encode(), key.encode()):
            abort(401)
        if request.method == "POST" and request.mimetype != "application/x-www-form-urlencoded":
            abort(415)
        ledger.record(update_of(values_of(request.get_data() if request.method == "POST" else request.query_string)))
        return Response("OK", mimetype="text/plain")

    @app.errorhandler(sqlite3.Error)
    def not_recorded(error: sqlite3.Error) -> Response:
        app.logger.error("a postback could not be recorded: %s", error)
        # impact.com does not send again what was answered with 400 to 500.
        return Response("try again later", status=503, mimetype="text/plain")

    if has_probe:

        @app.get("/probe")
        def probe() -> Response:
            return jsonify(told(ledger, request.args["id"]))

    return app


def application() -> Flask:
    """Make the application as the environment says: DATABASE, PARTNER_KEY, and PROBE=1 on a test system."""
    ledger = Ledger(os.environ.get("DATABASE", "postbacks.sqlite"))
    return create_app(ledger, key=os.environ["PARTNER_KEY"], has_probe=os.environ.get("PROBE") == "1")


def values_of(query: bytes) -> dict[str, str]:
    """Return the values of a query or a form; anything that is neither is answered with 400."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError:
        abort(400, "no form in UTF-8")
    values = dict(pairs)
    if len(values) < len(pairs):
        # Whoever reads the first and whoever reads the last would disagree.
        abort(400, "a field that repeats")
    return values


def update_of(values: dict[str, str]) -> Update:
    """Return what a postback tells. What cannot be booked is answered with 422; any text may be empty."""
    missing = [name for name in NAMES if name not in values]
    if missing or not values["action_id"] or not values["status"]:
        abort(422, f"missing: {', '.join(missing) or 'action_id or status'}")
    wrong = [name for name in MONEY if not _DECIMAL.fullmatch(values[name])]
    if wrong:
        abort(422, f"no decimal: {', '.join(wrong)}")
    return update_of_texts(values)


def told(ledger: Ledger, action_id: str) -> dict[str, object]:
    """Return what was recorded of an action, as Postback Kit asks for it; for test systems only."""
    updates = ledger.updates(action_id)
    if not updates:
        return {"actions": {}}
    now = standing(updates)
    return {
        "actions": {
            action_id: {
                "status": now.status,
                "payout": str(now.payout),
                "amount": str(now.amount),
                "currency": now.currency,
                "event_date": now.event_date,
                "sub_id1": now.sub_id1,
                "campaign_name": now.campaign_name,
                "updates": len(updates),
            }
        }
    }
