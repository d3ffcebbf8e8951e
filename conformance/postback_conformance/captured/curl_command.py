"""A capture as a command line for `sh` that sends the same bytes again with curl.

The order, case and repeats of headers stay, but curl writes Host first. Trailers cannot be sent with it.
"""

import base64
import re
import shlex
from collections.abc import Iterator
from typing import Final

from postback_conformance.captured.home_server import home_server
from postback_receiver import Capture
from postback_sender.replay.request import Destination

# One argument must not be longer than Linux takes, and nobody reads one of that length.
_MAX_ARGUMENT_BYTES: Final = 64 * 1024
# What curl sends of a URL as it stands; of anything else it may encode, resolve or cut something.
_PLAIN_TARGET = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]{}-]*(?<!\?)")
_DOT_SEGMENT = re.compile(r"(?i)/(?:\.|%2e){1,2}(?:[/?]|$)")
_GLOB = re.compile(r"[\[\]{}]")
_BASE64_LINE: Final = 76


def curl_command(capture: Capture, to: Destination | None = None) -> bytes:
    """Return the command; the capture must be one that `unfit` finds nothing against.

    Without a destination the request goes where it was sent, if that was this machine, else to port 8080 of it.
    """
    server = home_server(capture) if to is None else f"{to.origin.scheme}://{to.authority}"
    target = capture.target if to is None else to.target(capture.target)
    body = capture.body
    as_text = _is_plain_text(body)
    # Long options: whoever reads this shall not need the manual.
    arguments = [
        *_options(capture, server, target),
        *(b"--header " + _word(header) for header in _headers(capture, server, keeps_host=to is None)),
    ]
    if body:
        arguments.append(b"--data-raw " + _word(body) if as_text else b"--data-binary @-")
    command = b" \\\n  ".join((b"curl " + arguments[0], *arguments[1:])) + b"\n"
    return command if as_text or not body else _base64_pipe(body) + command


def _options(capture: Capture, server: str, target: str) -> Iterator[bytes]:
    options: list[str] = []
    if capture.http_version == "1.0":
        options.append("--http1.0")
    elif server.startswith("https:"):
        options.append("--http1.1")
    if capture.method == "HEAD" and not capture.body:
        options.append("--head")
    elif capture.method != ("POST" if capture.body else "GET"):
        options.append(f"--request {shlex.quote(capture.method)}")
    is_plain = _PLAIN_TARGET.fullmatch(target) is not None
    if is_plain and _DOT_SEGMENT.search(target):
        options.append("--path-as-is")
    if is_plain and _GLOB.search(target):
        options.append("--globoff")
    start = " ".join((*options, "")).encode()
    yield start + _word(f"{server}{target if is_plain else '/'}".encode("latin-1"))
    if not is_plain:
        yield b"--request-target " + _word(target.encode("latin-1"))


def _headers(capture: Capture, server: str, *, keeps_host: bool) -> Iterator[bytes]:
    """Yield what to give curl as headers: the recorded ones, and those of its own that have to go."""
    names = {name.lower() for name, _ in capture.headers}
    hosts = capture.header("Host")
    if not hosts and keeps_host:
        yield b"Host:"
    ours = ["User-Agent", "Accept"]
    if capture.body:
        ours += ["Content-Type", "Expect"]
    yield from (f"{name}:".encode() for name in ours if name.lower() not in names)
    for name, value in capture.headers:
        lower = name.lower()
        if lower == "host" and (not keeps_host or (name == "Host" and value == server.partition("://")[2])):
            continue
        # One that does not fit would have the server wait for more, or take the rest for another request.
        if lower == "content-length" and value != str(len(capture.body)):
            continue
        yield (f"{name}: {value}" if value else f"{name};").encode("latin-1")


def _is_plain_text(body: bytes) -> bool:
    if len(body) > _MAX_ARGUMENT_BYTES:
        return False
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter == "\n" for letter in text)


def _word(data: bytes) -> bytes:
    """Return bytes as one word of a command line, with nothing in it that a terminal would swallow or obey."""
    if _is_plain_text(data):
        return shlex.quote(data.decode()).encode()
    escaped = "".join(f"\\{byte:03o}" if byte < 0x20 or byte > 0x7E or byte in b"\\%'" else chr(byte) for byte in data)
    return f"\"$(printf '{escaped}')\"".encode()


def _base64_pipe(body: bytes) -> bytes:
    text = base64.b64encode(body).decode()
    lines = "\n".join(text[start : start + _BASE64_LINE] for start in range(0, len(text), _BASE64_LINE))
    return f"printf '%s' '{lines}' | base64 -d | ".encode()
