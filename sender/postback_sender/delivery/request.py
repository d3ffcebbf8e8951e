"""A postback as bytes on the wire, and the server they are for."""

from postback_sender.delivery.origin import Origin, split_url
from postback_sender.postback import Postback


def request_bytes(postback: Postback) -> tuple[Origin, bytes]:
    """Return the server of a postback and the request for it, or raise `TargetError` for a URL that has none."""
    (origin, authority, authorization), target = split_url(postback.url)
    names = {name.lower() for name, _ in postback.headers}
    lines = [f"{postback.method} {target} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {authority}")
    lines += [f"{name}: {value}" for name, value in postback.headers]
    # One that was set on purpose speaks for itself.
    if authorization is not None and "authorization" not in names:
        lines.append(f"Authorization: {authorization}")
    if postback.body or postback.method == "POST":
        lines.append(f"Content-Length: {len(postback.body)}")
    return origin, "\r\n".join((*lines, "\r\n")).encode() + postback.body
