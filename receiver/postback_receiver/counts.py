"""What a receiver has counted since it was started, for metrics and for the last line of a run."""

from collections.abc import Mapping

import msgspec


class ReceiverCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Plain counters that only grow, but for `connections_open`."""

    captures: int = 0
    """Stored, malformed ones included."""
    unmatched: int = 0
    """Of those: no endpoint took their path."""
    malformed: int = 0
    """Of those: no HTTP."""
    truncated: int = 0
    """Of those: not all of the body is there."""
    not_answered: int = 0
    """Of those: no answer left whole, because the peer had gone or a fault kept it from leaving."""
    store_failures: int = 0
    """Requests that could not be stored, and were answered 503."""
    answers_not_kept: int = 0
    """Relayed answers that were sent, and could not be added to their captures."""
    connections: int = 0
    connections_open: int = 0
    connections_refused: int = 0
    """Closed at once, or while they waited, to make room for others."""
    handshakes_failed: int = 0
    """TLS handshakes that came to nothing, with all who share the context, and connections that never began one."""
    faults: Mapping[str, int] = {}
    """How often each kind of fault happened: its label without the numbers in it."""
