"""TLS on the capture port: a certificate of one's own, or one made on the spot, with client certificates if wanted.

    CaptureServer(store, endpoints, ssl_context=load_tls("server.pem", "server.key"))
    made = make_tls(["localhost"])      # give made.ca_pem to the client to trust

A made certificate can also be one that no client should take: expired, for another host, or none at all.
"""

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args
from weakref import WeakKeyDictionary

import msgspec

from postback_receiver.capture import Tls
from postback_receiver.errors import TlsError

_log = logging.getLogger(__name__)

TlsFault: TypeAlias = Literal["expired", "wrong-host", "handshake-abort"]
"""What is wrong with the TLS of a port on purpose: a certificate that ended yesterday, one for a host that nobody asked
for, or a server that breaks the connection off in the handshake."""

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

_WRONG_HOST: Final = "another-host.invalid"
_SHORT_NAMES: Final = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}

# The host that a client asked for is told once, while the handshake goes on, and kept nowhere else.
_server_names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()

# An event loop says nothing of a handshake that fails, neither to us nor in a log.
_failed_handshakes: WeakKeyDictionary[ssl.SSLContext, int] = WeakKeyDictionary()

_faults: WeakKeyDictionary[ssl.SSLContext, TlsFault] = WeakKeyDictionary()
_failed_by_fault: WeakKeyDictionary[ssl.SSLContext, int] = WeakKeyDictionary()

# With these a handshake ends before the server has shown its certificate, and so met no fault of it.
_NO_HELLO: Final = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL"})

_NO_TRUST: Final = "the client does not trust the certificate"
_WHY_HANDSHAKES_FAIL: Final = {
    "HTTP_REQUEST": "the client speaks plain HTTP, and the port https://",
    "TLSV1_ALERT_UNKNOWN_CA": _NO_TRUST,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NO_TRUST,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NO_TRUST,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NO_TRUST,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client shows no certificate, and has to",
    "CERTIFICATE_VERIFY_FAILED": "the client's certificate is not of the authority that was asked for",
}


class MadeTls(msgspec.Struct, frozen=True):
    """A context for the server, and the certificate (PEM) of the authority behind it, for clients to trust."""

    context: ssl.SSLContext
    ca_pem: bytes


def load_tls(
    certificate: str | Path, key: str | Path | None = None, *, client_ca: str | Path | None = None
) -> ssl.SSLContext:
    """A server's context from PEM files; `key` may be in the file of the certificate. TlsError when they are no good.

    With `client_ca`, only clients with a certificate of that authority are let in (mutual TLS).
    """
    context = _server_context()
    try:
        # A key that is locked would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsError(path=str(key or certificate), **_explain(error, certificate, key)) from error
    if client_ca is not None:
        _require_clients(context, client_ca)
    return context


def make_tls(
    hosts: Sequence[str] = LOCAL_HOSTS, *, client_ca: str | Path | None = None, fault: TlsFault | None = None
) -> MadeTls:
    """A certificate for these hosts from an authority that is made for it, or what is wrong with it on purpose."""
    if fault is not None and fault not in get_args(TlsFault):
        raise ValueError(f"a TLS fault is one of {', '.join(get_args(TlsFault))}, not {fault!r}")
    # It brings the whole of cryptography, and few receivers need it.
    import trustme  # noqa: PLC0415

    authority = trustme.CA(organization_name="Postback Kit")
    now = datetime.now(UTC)
    certificate = authority.issue_cert(
        *((_WRONG_HOST,) if fault == "wrong-host" else hosts),
        not_before=now - timedelta(days=30),
        not_after=now - timedelta(days=1) if fault == "expired" else now + timedelta(days=365),
    )
    context = _server_context()
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # it also takes pyOpenSSL's
    if client_ca is not None:
        _require_clients(context, client_ca)
    if fault == "handshake-abort":
        # Called for every client, also for one that names no host.
        context.sni_callback = _abort_handshake
    if fault is not None:
        _faults[context] = fault
    return MadeTls(context=context, ca_pem=authority.cert_pem.bytes())


def describe_tls(secured: ssl.SSLObject) -> Tls:
    """What was agreed on a connection."""
    cipher = secured.cipher()
    return Tls(
        version=secured.version() or "",
        cipher=cipher[0] if cipher else "",
        server_name=_server_names.get(secured),
        client=_subject(secured),
    )


def watch_handshakes(context: ssl.SSLContext) -> None:
    """Have a context note what clients ask for, and log and count those it fails with; what is its own stays.

    The host they ask for is what `describe_tls` then tells, the number what `failed_handshakes` does.
    """
    if context.sni_callback is None:
        context.sni_callback = _note_server_name
    if context.sslobject_class is ssl.SSLObject:
        context.sslobject_class = _WatchedHandshake


def failed_handshakes(context: ssl.SSLContext) -> int:
    """How many handshakes have failed with a context that is watched."""
    return _failed_handshakes.get(context, 0)


def fault_of_tls(context: ssl.SSLContext | None) -> str | None:
    """What is wrong with a context on purpose, as captures name it, such as `tls-expired`; None when nothing is."""
    fault = None if context is None else _faults.get(context)
    return None if fault is None else f"tls-{fault}"


def failed_by_fault(context: ssl.SSLContext) -> int:
    """Of the handshakes that have failed with a context that is watched: those that met its fault."""
    return _failed_by_fault.get(context, 0)


class _WatchedHandshake(ssl.SSLObject):
    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            _failed_handshakes[self.context] = failed_handshakes(self.context) + 1
            reason = error.reason or "unknown reason"
            if self.context in _faults and reason not in _NO_HELLO:
                _failed_by_fault[self.context] = failed_by_fault(self.context) + 1
            told = _WHY_HANDSHAKES_FAIL.get(reason)
            words = f"{told} ({reason})" if told else reason
            _log.warning("A TLS handshake failed: %s", words, extra={"event": "handshake_failed"})
            raise


def _note_server_name(secured: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
    if name is not None:
        _server_names[secured] = name


def _abort_handshake(_secured: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int:
    return int(ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE)


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_clients(context: ssl.SSLContext, client_ca: str | Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        raise TlsError(path=str(client_ca), **_explain(error, client_ca, None)) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _no_password() -> str:
    raise ValueError("the key is locked with a password")


def _explain(error: Exception, certificate: str | Path, key: str | Path | None) -> dict[str, str]:
    """Why files cannot be used, and what to do."""
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return {
                "reason": f"this is not the key of the certificate {certificate}",
                "advice": "Give the two that belong together.",
            }
        where = f"{certificate} or {key}" if key else certificate
        return {
            "reason": f"{where} holds no certificate or key in PEM form",
            "advice": "PEM is text, with lines such as -----BEGIN CERTIFICATE----- and -----BEGIN PRIVATE KEY-----.",
        }
    if isinstance(error, OSError):
        missing = error.strerror or str(error)
        where = f"{certificate} or {key}" if key else certificate
        return {"reason": f"{where} cannot be read: {missing}", "advice": "Check the paths and who may read the files."}
    return {"reason": str(error), "advice": "Take its password off: openssl pkey -in locked.key -out plain.key"}


def _subject(secured: ssl.SSLObject) -> str | None:
    """The client's certificate's subject, such as `CN=sender, O=impact`; None when it showed none."""
    shown = secured.getpeercert()
    if not shown:
        return None
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", shown.get("subject", ()))
    return ", ".join(f"{_SHORT_NAMES.get(name, name)}={value}" for part in subject for name, value in part)
