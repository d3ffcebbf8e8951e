"""A partner's endpoint that reads HTTP by hand, as scripts without a framework do, and gets it right."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

from partner_endpoint import SECRET, Partner, Refused

_LONGEST_BODY = 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}


class HandMade(Partner):
    """The same as its base for postbacks in JSON, without a server library; a broken one does a step wrong."""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[int]:
        """Listen on a plain socket."""
        served: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.add(task := asyncio.create_task(self.served(reader, writer)))
            task.add_done_callback(served.discard)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        async with server:
            yield int(server.sockets[0].getsockname()[1])
            for task in served:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)

    async def served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.connection(reader, writer)
        finally:
            writer.close()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        while await self.exchange(reader, writer):
            pass

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and answer it; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        keeps = ("connection", "close") not in pairs
        try:
            length = self.length([value for name, value in pairs if name == "content-length"], dict(pairs))
            text = self.handled(method, target, dict(pairs), await reader.readexactly(length))
            status = 200
        except Refused as error:
            status, text = error.status, str(error)
            # What was not read would be taken for the next request.
            keeps = keeps and status not in {400, 411, 413}
        answer = f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\nContent-Length: {len(text)}\r\n"
        answer += "\r\n" if keeps else "Connection: close\r\n\r\n"
        writer.write(f"{answer}{text}".encode())
        await writer.drain()
        return keeps

    def length(self, told: list[str], headers: dict[str, str]) -> int:
        """Return how long the body is, if that is told once, in digits."""
        if "transfer-encoding" in headers:
            raise Refused(411, "how long?")
        if len(told) > 1 or not all(one.isascii() and one.isdigit() for one in told):
            raise Refused(400, "how long?")
        length = int(told[0]) if told else 0
        if length > _LONGEST_BODY:
            raise Refused(413, "too large")
        return length

    def handled(self, method: str, target: str, headers: dict[str, str], body: bytes) -> str:
        """Return the answer to a request."""
        parts = urlsplit(target)
        if parts.path == "/probe":
            return json.dumps(self.ledger.shown(parse_qs(parts.query)["id"][0]))
        if method != "POST":
            raise Refused(405, "a POST, please")
        if headers.get("x-api-key") != SECRET:
            raise Refused(401, "who are you?")
        if headers.get("content-type") not in self.content_types:
            raise Refused(415, "another format, please")
        self.ledger.record(self.checked(self.parsed(body)))
        return "OK"
