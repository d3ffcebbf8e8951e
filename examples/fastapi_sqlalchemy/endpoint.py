"""Takes impact.com's postbacks as JSON, and answers once they are recorded."""

import hmac
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from ledger import Ledger, Update
from standing import standing

MAX_BODY_BYTES = 256 * 1024

Money = Annotated[Decimal, Field(max_digits=16, decimal_places=4, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Postback(BaseModel):
    """What a postback tells. Any text may be empty, and what is not named here is ignored."""

    action_id: Name
    status: Name
    payout: Money
    delta_payout: Money
    amount: Money
    delta_amount: Money
    currency: str
    event_date: str
    sub_id1: str
    campaign_name: str


def create_app(ledger: Ledger, *, key: str, has_probe: bool = False) -> FastAPI:
    """Make the application; `key` is what the header X-Api-Key has to say."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        ledger.create()
        yield
        ledger.close()

    # Nobody needs to know what else there is.
    app = FastAPI(lifespan=lifespan, openapi_url=None)

    def authorized(x_api_key: Annotated[str, Header()] = "") -> None:
        # In constant time: how long a comparison takes must not tell how much of a guess is right.
        if not hmac.compare_digest(x_api_key.encode(), key.encode()):
            raise HTTPException(401)

    # Not asynchronous, so that it runs in a thread: the database blocks.
    @app.post("/postback", dependencies=[Depends(authorized)], response_class=PlainTextResponse)
    def postback(postback: Annotated[Postback, Depends(postback_of)]) -> str:
        ledger.record(postback.model_dump())
        return "OK"

    @app.exception_handler(SQLAlchemyError)
    def not_recorded(_request: Request, error: Exception) -> PlainTextResponse:
        logging.getLogger(__name__).error("a postback could not be recorded: %s", error)
        # impact.com does not send again what was answered with 400 to 500.
        return PlainTextResponse("try again later", status_code=503)

    if has_probe:

        @app.get("/probe", response_class=JSONResponse)
        def probe(id: str) -> dict[str, object]:  # noqa: A002  the name of the parameter
            return told(ledger, id)

    return app


async def postback_of(request: Request) -> Postback:
    """Return what a postback tells, or refuse it: 415, 413, or 422 for what cannot be read or booked.

    FastAPI would read a body of any size, and before it asks for the key.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415)
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        # Nobody is there any more to be told; nothing is recorded.
        raise HTTPException(400) from None
    try:
        return Postback.model_validate_json(bytes(body))
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False, include_input=False)
        raise HTTPException(422, detail=detail) from None


def told(ledger: Ledger, action_id: str) -> dict[str, object]:
    """Return what was recorded of an action, as Postback Kit asks for it; for test systems only."""
    updates = ledger.updates(action_id)
    if not updates:
        return {"actions": {}}
    # A mapped attribute is a descriptor, of which not every type checker sees what it gives.
    now: Update = standing(cast("Sequence[Any]", updates))
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


def application() -> FastAPI:
    """Make the application as the environment says: DATABASE_URL, PARTNER_KEY, and PROBE=1 on a test system."""
    ledger = Ledger(os.environ.get("DATABASE_URL", "sqlite:///postbacks.sqlite"))
    return create_app(ledger, key=os.environ["PARTNER_KEY"], has_probe=os.environ.get("PROBE") == "1")
