"""One request as it arrived, and what we answered.

Text in a capture (target, header names and values) is decoded as latin-1, so that one character is one byte of the
wire: `text.encode("latin-1")` gives the exact bytes back, whatever their real encoding was. The body stays `bytes`, as
sent: never decompressed, never decoded (chunk framing is the one thing taken off).
"""

import msgspec

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order of the wire, with their case and their repeats."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What we answered: the planned status, headers and body, and when it left.

    `sent_at_ns` (wall clock, nanoseconds since the epoch) and `sent_ns` (the same moment, monotonic) are None for an
    answer that was planned but is not known to have left whole: a fault or a peer that had gone kept it back, or the
    receiver was stopped hard before it could note the time. `Content-Length`, `Date` and the like are added to
    `headers` on the wire.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    sent_at_ns: int | None = None
    sent_ns: int | None = None


class Tls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was agreed on an encrypted connection, such as `TLSv1.3` and `TLS_AES_256_GCM_SHA384`.

    `server_name` is the host the client asked for (SNI), `client` the subject of the certificate it showed.
    """

    version: str
    cipher: str
    server_name: str | None = None
    client: str | None = None


class Capture(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request as it arrived.

    Times end in `_ns`. `received_at_ns` (request head parsed) is wall clock, nanoseconds since the epoch, for people;
    all others are monotonic, for measuring, and comparable only within one run of one receiver. `monotonic_ns` is the
    same moment as `received_at_ns`, so that `wall_ns` turns any of them into wall time.
    """

    id: str
    run: str = ""
    """The run of a receiver that took it; connections are numbered within one run. Empty when unknown."""
    endpoint: str | None
    """Prefix of the endpoint that took it; None when no endpoint did. It is recorded either way."""
    received_at_ns: int
    connected_ns: int | None = None
    """When its connection was accepted."""
    monotonic_ns: int | None = None
    body_done_ns: int | None = None
    """None when the body did not arrive whole."""
    gone_ns: int | None = None
    """When the peer closed the connection, or it broke; on the last request of a connection only."""
    lateness_ns: int = 0
    """How late the receiver's own event loop ran when this arrived; a stamp may be off by as much. 0 when unknown."""
    connection: str
    connection_request: int
    """1 for the first request on its connection."""
    remote: str
    tls: Tls | None = None
    http_version: str
    method: str
    target: str
    headers: Headers
    body: bytes
    trailers: Headers = ()
    """Fields that followed a chunked body."""
    truncated: bool = False
    """The body is not all there: too large, or the peer left or stalled before its end."""
    malformed: str | None = None
    """Why this is no HTTP request. `body` then holds the bytes that came, and what could not be read is empty."""
    answer: Answer | None = None
    fault: str | None = None
    """What the receiver did to the answer on purpose."""

    def wall_ns(self, monotonic_ns: int) -> int | None:
        """The wall time of a monotonic stamp of this capture; None when nothing ties the two clocks together."""
        return None if self.monotonic_ns is None else self.received_at_ns + monotonic_ns - self.monotonic_ns

    @property
    def path(self) -> str:
        """The target's path, still percent-encoded."""
        return path_of(self.target)

    @property
    def query(self) -> str:
        """What follows the first `?` of the target, still percent-encoded; empty when there is none."""
        return self.target.partition("?")[2]

    @property
    def is_unmatched(self) -> bool:
        """Whether a receiver had no endpoint for it; what no receiver saw, as in a browser's archive, is not."""
        return self.endpoint is None and self.malformed is None and bool(self.run)

    def header(self, name: str) -> tuple[str, ...]:
        """All values of a header, whatever the case of its name, in the order of the wire."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)


def path_of(target: str) -> str:
    """The path of a request target, without scheme and host when the target came in absolute form."""
    path = target.partition("?")[0]
    if path.startswith("/"):
        return path
    scheme, separator, rest = path.partition("://")
    if separator and "/" not in scheme:
        return "/" + rest.partition("/")[2]
    return path
