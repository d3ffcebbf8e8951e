"""The partner's application: joins its three packages."""

from conformance import ALLOWED_COUNTRIES
from receiver import Received
from receiver.store import store
from sender import greeting


def handle(ledger: list[Received], click: str, country: str) -> str:
    if country not in ALLOWED_COUNTRIES:
        return "refused"
    store(ledger, click)
    return greeting(click)
