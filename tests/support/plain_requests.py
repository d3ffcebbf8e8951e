"""The plainest requests, as bytes."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(target: str) -> bytes:
    """Return a request for a target."""
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
