"""Which certificates of a target are trusted, and the advice for one that is not."""

import ssl
from pathlib import Path
from typing import Final

from postback_conformance.errors import ConformanceError
from postback_sender.delivery.retry import Failure

ADVICE: Final = "; --ca-file FILE trusts its certificate, --insecure any"
"""Ends the message about a certificate that is not trusted."""


def trusted(*, insecure: bool, ca_file: Path | None) -> ssl.SSLContext | bool:
    """Return what to trust: True what this machine does, False anything. Raises `ConformanceError` for a bad file."""
    if ca_file is None:
        return not insecure
    if insecure:
        raise ConformanceError("--insecure trusts any certificate, --ca-file some; keep one of them")
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConformanceError(f"{ca_file}: no certificates can be read: {error}; expected a PEM file") from None
    return context


def advice(failure: Failure | None, detail: str) -> str:
    """Return which flags help when the certificate of a target is not trusted; "" for any other failure."""
    if failure is not Failure.TLS or "CERTIFICATE_VERIFY_FAILED" not in detail:
        return ""
    return ADVICE
