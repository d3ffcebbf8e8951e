"""How long a request may take."""

import msgspec


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a request in nanoseconds: all of it, and optionally making the connection, and any single silence."""

    total_ns: int
    connect_ns: int | None = None
    read_ns: int | None = None
