"""Serves a WSGI callable (Flask, Django, Bottle), each request in a thread, as PEP 3333 has it."""

import asyncio
import io
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from aiohttp import ClientPayloadError, web
from multidict import CIMultiDict

from postback_conformance.hosting.serving import MAX_BODY_BYTES, answering, listening, tell_to_continue

Environ: TypeAlias = dict[str, Any]
WsgiApp: TypeAlias = Callable[[Environ, Callable[..., object]], Iterable[bytes]]

_THREADS = 32
# What belongs to one connection is for the server to say (PEP 3333, "Other HTTP Features").
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "te"})


@asynccontextmanager
async def listening_wsgi(app: WsgiApp) -> AsyncGenerator[str]:
    """Listen for a WSGI application."""
    pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="postback endpoint under test")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _body(request)
        except (ClientPayloadError, ConnectionError, asyncio.IncompleteReadError):
            # Nobody is there any more to be told.
            return web.Response(status=400)
        if body is None:
            return web.Response(status=413)
        return await asyncio.get_running_loop().run_in_executor(pool, _answered, app, _environ(request, body))

    try:
        async with listening(answering(answer)) as url:
            yield url
    finally:
        # One that hangs is not waited for.
        pool.shutdown(wait=False, cancel_futures=True)


async def _body(request: web.BaseRequest) -> bytes | None:
    await tell_to_continue(request)
    pieces = bytearray()
    async for piece in request.content.iter_any():
        pieces += piece
        if len(pieces) > MAX_BODY_BYTES:
            return None
    return bytes(pieces)


def _environ(request: web.BaseRequest, body: bytes) -> Environ:
    path, _, query = request.raw_path.partition("?")
    host, port = request.get_extra_info("sockname")[:2]
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        # PEP 3333: text that stands for bytes, one character each.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.version.major}.{request.version.minor}",
        "REMOTE_ADDR": request.remote or "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in request.raw_headers:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name in {"CONTENT_LENGTH", "TRANSFER_ENCODING"}:
            continue
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _answered(app: WsgiApp, environ: Environ) -> web.Response:
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], None]:
        # Nothing has left yet, so an error may still replace what was said before.
        if begun and exc_info is None:
            raise RuntimeError("the WSGI application called start_response twice")
        begun[:] = [(status, headers)]
        return written.append

    pieces = app(environ, start_response)
    try:
        written += pieces
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    if not begun:
        raise RuntimeError("the WSGI application returned without having called start_response")
    status, headers = begun[0]
    code, _, reason = status.partition(" ")
    body = b"".join(written)
    kept = CIMultiDict((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)
    if environ["REQUEST_METHOD"] != "HEAD":
        kept.popall("Content-Length", None)
    return web.Response(status=int(code), reason=reason, headers=kept, body=body)
