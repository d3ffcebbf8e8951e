"""Takes impact.com's postbacks as JSON with items, and answers once they are recorded."""

import asyncio
import hmac
import json
import logging
import os
import re
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

from aiohttp import web

from ledger import ITEM_NAMES, MONEY, NAMES, Item, Ledger, Update, update_of_texts
from standing import standing

MAX_BODY_BYTES = 256 * 1024
# Decimal itself would also take "NaN", "1e999999" and "1_000".
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,4})?")


class Endpoint:
    """What is done with a request; `key` is what its header X-Api-Key has to say."""

    def __init__(self, ledger: Ledger, key: str) -> None:
        self._ledger = ledger
        self._key = key.encode()

    async def postback(self, request: web.Request) -> web.Response:
        """Record a postback, and then answer."""
        # In constant time: how long a comparison takes must not tell how much of a guess is right.
        if not hmac.compare_digest(request.headers.get("X-Api-Key", "").encode("utf-8", "replace"), self._key):
            raise web.HTTPUnauthorized
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        update = update_of(await body_of(request))
        try:
            # In a thread, since the disk blocks, and other requests should not wait for it.
            await asyncio.to_thread(self._ledger.record, update)
        except sqlite3.Error as error:
            logging.getLogger(__name__).exception("a postback could not be recorded")
            # impact.com does not send again what was answered with 400 to 500.
            raise web.HTTPServiceUnavailable(text="try again later") from error
        return web.Response(text="OK")

    async def probe(self, request: web.Request) -> web.Response:
        """Tell what was recorded of an action, as Postback Kit asks for it; for test systems only."""
        action_id = request.query.get("id", "")
        updates = await asyncio.to_thread(self._ledger.updates, action_id)
        if not updates:
            raise web.HTTPNotFound
        now = standing(updates)
        told = {
            "status": now.status,
            "payout": str(now.payout),
            "amount": str(now.amount),
            "currency": now.currency,
            "event_date": now.event_date,
            "sub_id1": now.sub_id1,
            "campaign_name": now.campaign_name,
            "updates": len(updates),
        }
        return web.json_response({"actions": {action_id: told}})


async def body_of(request: web.Request) -> bytes:
    """Return the body, read to its end; one that is too large is answered with 413 by aiohttp."""
    try:
        return await request.read()
    except ConnectionError:
        # Nobody is there any more to be told; nothing is recorded.
        raise web.HTTPBadRequest(text="cut short") from None


def update_of(body: bytes) -> Update:
    """Return what a postback tells: 400 for what is no JSON, 422 for what cannot be booked. Any text may be empty."""
    try:
        told = json.loads(body.decode("utf-8"))
        # Half a character, written as an escape, is a text that no database takes.
        json.dumps(told, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="no JSON in UTF-8") from None
    values = _texts(told, NAMES)
    items = cast("dict[str, object]", told).get("items", [])
    if not isinstance(items, list):
        raise web.HTTPUnprocessableEntity(text="items: no list")
    if not values["action_id"] or not values["status"]:
        raise web.HTTPUnprocessableEntity(text="no action_id or no status")
    wrong = [name for name in MONEY if not _DECIMAL.fullmatch(values[name])]
    if wrong:
        raise web.HTTPUnprocessableEntity(text=f"no decimal: {', '.join(wrong)}")
    return update_of_texts(values, [Item(**_texts(item, ITEM_NAMES)) for item in cast("list[object]", items)])


def _texts(told: object, names: Sequence[str]) -> dict[str, str]:
    """Return the fields of an object, each of which has to be there and be a text; what else there is is ignored."""
    if not isinstance(told, Mapping):
        raise web.HTTPUnprocessableEntity(text="no object")
    fields = cast("Mapping[str, object]", told)
    texts = {name: text for name in names if isinstance(text := fields.get(name), str)}
    wrong = [name for name in names if name not in texts]
    if wrong:
        raise web.HTTPUnprocessableEntity(text=f"no text: {', '.join(wrong)}")
    return texts


def create_app(ledger: Ledger, *, key: str, has_probe: bool = False) -> web.Application:
    """Make the application, which closes the ledger at its end."""
    endpoint = Endpoint(ledger, key)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/postback", endpoint.postback)
    if has_probe:
        app.router.add_get("/probe", endpoint.probe)

    async def closing(_: web.Application) -> AsyncGenerator[None]:
        yield
        ledger.close()

    app.cleanup_ctx.append(closing)
    return app


def main() -> None:
    """Listen as the environment says: PORT, DATABASE, PARTNER_KEY, and PROBE=1 on a test system."""
    ledger = Ledger(os.environ.get("DATABASE", "postbacks.sqlite"))
    app = create_app(ledger, key=os.environ["PARTNER_KEY"], has_probe=os.environ.get("PROBE") == "1")
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
