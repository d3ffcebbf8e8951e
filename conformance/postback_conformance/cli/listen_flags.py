"""From the flags of `listen` and its file to one set of settings: what a flag says goes before what the file says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from msgspec.structs import replace

from postback_conformance.cli.listen_settings import ReplyFlags
from postback_conformance.errors import ConformanceError
from postback_conformance.receiving.receiver_file import ForwardFile, ReceiverFile, TlsFile, check_forward
from postback_receiver.retention import Retention
from postback_sender.quantities import NANOSECONDS_PER_SECOND, QuantityError, parse_duration, parse_size

T = TypeVar("T")

DEFAULT_FORWARD_NS: Final = 10 * NANOSECONDS_PER_SECOND


def given(default: T, *values: T | None) -> T:
    """Return the first value that is given, the flag's before the file's, else the default."""
    return next((value for value in values if value is not None), default)


def reply_of(status: int | None, body: str | None, delay: str | None, faults: Sequence[str]) -> ReplyFlags | None:
    """Return the reply that flags ask for, None when they leave it to the file."""
    if status is None and body is None and delay is None and not faults:
        return None
    return ReplyFlags(status=status, body=body, delay_ns=duration("--delay", delay) or 0, faults=tuple(faults))


def retention_of(age: str | None, count: int | None, most_bytes: str | None, file: ReceiverFile | None) -> Retention:
    """Return what is kept; each limit is the flag's, or else the file's."""
    flags = (("--keep-age", duration("--keep-age", age)), ("--keep-bytes", size("--keep-bytes", most_bytes)))
    for flag, limit in flags:
        if limit == 0:
            raise ConformanceError(f"{flag}: expected more than nothing; without the flag everything is kept")
    kept = file.retention if file else Retention()
    return Retention(
        max_age_ns=given(kept.max_age_ns, flags[0][1]),
        max_captures=given(kept.max_captures, count),
        max_bytes=given(kept.max_bytes, flags[1][1]),
    )


def tls_of(
    certificate: Path | None, key: Path | None, client_ca: Path | None, file: ReceiverFile | None, *, generated: bool
) -> TlsFile | None:
    """Return the TLS of the capture port, None for none. Flags that name a certificate replace the file's."""
    if certificate and generated:
        raise ConformanceError("--tls-certificate and --tls-generated exclude each other: take one of them")
    if key and not certificate:
        raise ConformanceError("--tls-key needs --tls-certificate, whose key it is")
    written = file.tls if file else None
    if certificate or generated:
        client_ca = client_ca or (written.client_ca if written else None)
        return TlsFile(certificate=certificate, key=key, client_ca=client_ca, generated=generated)
    if client_ca and not written:
        raise ConformanceError("--client-ca needs TLS: --tls-certificate or --tls-generated")
    return replace(written, client_ca=client_ca) if written and client_ca else written


def forward_of(
    url: str | None,
    mode: Literal["tee", "relay"] | None,
    timeout: str | None,
    allowed: Sequence[str],
    file: ReceiverFile | None,
) -> ForwardFile | None:
    """Return where captures are sent on to, None for nowhere."""
    written = file.forward if file else None
    to = given(written.to if written else None, url)
    if to is None:
        if mode or timeout or allowed:
            raise ConformanceError("--forward-mode, --forward-timeout and --allow-host need --forward-to URL")
        return None
    allow = tuple(allowed) or (written.allow if written else ())
    if file and url is None:
        check_forward(file, to, allow)
    return ForwardFile(
        to=to,
        mode=mode or (written.mode if written else "tee"),
        timeout_ns=given(written.timeout_ns if written else DEFAULT_FORWARD_NS, duration("--forward-timeout", timeout)),
        allow=allow,
    )


def duration(flag: str, text: str | None) -> int | None:
    """Return the nanoseconds of a flag's value, or raise `QuantityError` that names the flag."""
    try:
        return None if text is None else parse_duration(text)
    except QuantityError as error:
        raise QuantityError(f"{flag}: {error}") from None


def size(flag: str, text: str | None) -> int | None:
    """Return the bytes of a flag's value, or raise `QuantityError` that names the flag."""
    try:
        return None if text is None else parse_size(text)
    except QuantityError as error:
        raise QuantityError(f"{flag}: {error}") from None
