"""A port that stays free for whoever is to listen on it."""

import socket
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Generator[int]:
    """Keep a port of this machine: nobody listens on it, and only who asks for it by its number can.

    A port that was merely free a moment ago may be given to any other program in the next one.
    """
    with socket.socket() as holder:
        # Bound and not listening, which leaves room for one that says the same, as event loops do.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
