"""The HTTP client of the sender: one request, one outcome, nothing behind the caller's back.

No redirects, no cookies, no proxies of the environment, no silent repeats, and no connection to an address that is not
allowed: the address that was checked is the one that is connected to.
"""

import ssl
from collections.abc import Callable, Collection, Sequence
from socket import AF_INET, AddressFamily
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from postback_sender.delivery.retry import Failure
from postback_sender.delivery.retry_after import parse_retry_after
from postback_sender.delivery.target import is_address_allowed
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.matcher import MAX_ANSWER_BYTES
from postback_sender.quantities import NANOSECONDS_PER_SECOND, format_duration


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request: an answer, or in `failure` why there is none. `detail` is for people."""

    status: int | None = None
    body: bytes = b""
    failure: Failure | None = None
    retry_after_ns: int | None = None
    detail: str = ""


class Client:
    """Makes requests, a few at a time over connections that are kept; an asynchronous context manager.

    `resolver` replaces the machine's own way to find the address of a host, `trust` the certificates it trusts: False
    trusts any. `now_ns` is the wall clock, for dates in answers.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        connections: int,
        allowed_hosts: Collection[str],
        now_ns: Callable[[], int],
        resolver: AbstractResolver | None = None,
        trust: ssl.SSLContext | bool = True,
    ) -> None:
        self._timeouts = timeouts
        self._connections = connections
        self._allowed_hosts = allowed_hosts
        self._now_ns = now_ns
        self._resolver = resolver
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        resolver = _GuardedResolver(self._resolver or DefaultResolver(), self._allowed_hosts)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, resolver=resolver, ssl=self._trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=_seconds(self._timeouts.total_ns),
                sock_connect=_seconds(self._timeouts.connect_ns),
                sock_read=_seconds(self._timeouts.read_ns),
                ceil_threshold=float("inf"),
            ),
            # impact.com sends neither; what it does send is on the postback.
            skip_auto_headers=("Accept", "User-Agent", "Accept-Encoding", "Content-Type"),
        )
        # aiohttp quietly sends a GET again when a kept-alive connection breaks under it. Here every send is an
        # attempt that the policy decided on and the log shows, so that habit is switched off.
        self._session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  no public switch
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
        """Make one request and read its answer, at most `MAX_ANSWER_BYTES` of the body."""
        if self._session is None:
            raise RuntimeError("a Sender works inside `async with` only")
        try:
            async with self._session.request(
                method,
                yarl.URL(url, encoded=True),
                data=body or None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                return await self._read(response)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            # A ValueError is a URL that the library cannot read, or a host that is no name.
            return self._no_answer(error)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        retry_after = response.headers.get("Retry-After")
        retry_after_ns = None if retry_after is None else parse_retry_after(retry_after, now_ns=self._now_ns())
        try:
            body = await _read_some(response)
        except aiohttp.ClientPayloadError as error:
            detail = _without_url(error)[:_LONGEST_DETAIL]
            return Answer(failure=Failure.BROKEN_ANSWER, status=response.status, detail=detail)
        is_redirect = 300 <= response.status < 400 and "Location" in response.headers
        detail = "a redirect, which is not followed" if is_redirect else ""
        return Answer(status=response.status, body=body, retry_after_ns=retry_after_ns, detail=detail)

    def _no_answer(self, error: Exception) -> Answer:
        if isinstance(error, TimeoutError):
            return Answer(failure=Failure.TIMEOUT, detail=self._too_slow(error))
        if isinstance(error, aiohttp.ClientConnectorDNSError) and isinstance(error.os_error, _ForbiddenAddressError):
            return Answer(failure=Failure.FORBIDDEN_ADDRESS, detail=str(error.os_error))
        failure = next((failure for kind, failure in _FAILURES if isinstance(error, kind)), Failure.CONNECTION)
        return Answer(failure=failure, detail=_without_url(error)[:_LONGEST_DETAIL])

    def _too_slow(self, error: TimeoutError) -> str:
        match error:
            case aiohttp.ConnectionTimeoutError() if self._timeouts.connect_ns:
                return f"no connection within {format_duration(self._timeouts.connect_ns)}"
            case aiohttp.SocketTimeoutError() if self._timeouts.read_ns:
                return f"silent for {format_duration(self._timeouts.read_ns)}"
            case _:
                return f"not done within {format_duration(self._timeouts.total_ns)}"


# The first kind that fits an error says why there is no answer; any other error is one of the connection.
_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (aiohttp.InvalidURL, Failure.MALFORMED_URL),
    (aiohttp.ClientConnectorDNSError, Failure.HOST_NOT_FOUND),
    (aiohttp.ClientSSLError, Failure.TLS),
    (ssl.SSLError, Failure.TLS),
    (aiohttp.ClientResponseError, Failure.BROKEN_ANSWER),
    (aiohttp.ClientPayloadError, Failure.BROKEN_ANSWER),
    (ValueError, Failure.MALFORMED_URL),
)
# Enough to tell what is wrong; what a server says goes on for as long as it likes.
_LONGEST_DETAIL = 200


def _without_url(error: Exception) -> str:
    """Return what an error says; some of the library's say the whole URL, which may hold secrets."""
    match error:
        case aiohttp.ClientResponseError():
            return error.message or type(error).__name__
        case ValueError() if not isinstance(error, OSError):
            return "this URL cannot be used: its host, or the letters in it"
        case _:
            return str(error) or type(error).__name__


class _ForbiddenAddressError(OSError):
    """A name that leads to an address nobody allowed."""


class _GuardedResolver(AbstractResolver):
    """Resolves names and leaves out what may not be connected to; the client connects to what it returns."""

    def __init__(self, inner: AbstractResolver, allowed_hosts: Collection[str]) -> None:
        self._inner = inner
        self._allowed_hosts = allowed_hosts

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [each for each in found if is_address_allowed(host, each["host"], allowed_hosts=self._allowed_hosts)]
        if found and not allowed:
            addresses = ", ".join(each["host"] for each in found)
            raise _ForbiddenAddressError(
                f"{host} leads to {addresses}, which is not public; allow the address as well if it is meant"
            )
        return allowed

    async def close(self) -> None:
        await self._inner.close()


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an answer's body; what goes beyond the limit is left unread."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return bytes(body[:MAX_ANSWER_BYTES])


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NANOSECONDS_PER_SECOND
