"""Endpoints that do one thing wrong in what they accept and what they refuse; the name says what."""

import asyncio
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from xml.sax import handler, make_parser
from xml.sax.xmlreader import AttributesImpl, InputSource

from aiohttp import web

from hand_made_endpoint import HandMade
from partner_endpoint import SECRET, Partner, Refused, XmlPartner

Values = Mapping[str, Any]


# What it does not accept


class ReadsMoneyAsWholeNumbers(Partner):
    async def record(self, values: Values) -> None:
        int(values["payout"])
        await super().record(values)


class KnowsNoReversals(Partner):
    def parsed(self, body: bytes) -> Values:
        values = super().parsed(body)
        if values["status"] not in {"PENDING", "APPROVED"}:
            raise Refused(422, "which status?")
        return values


class NeedsASubId(Partner):
    def parsed(self, body: bytes) -> Values:
        values = super().parsed(body)
        if not values["sub_id1"]:
            raise Refused(422, "which sub id?")
        return values


class CrashesOnAQuote(Partner):
    async def record(self, values: Values) -> None:
        if "'" in values["sub_id1"]:
            raise ValueError("unterminated string in SQL")
        await super().record(values)


class TrimsTexts(Partner):
    async def record(self, values: Values) -> None:
        await super().record({name: text.strip() if isinstance(text, str) else text for name, text in values.items()})


class TakesAllMoneyForDollars(Partner):
    async def record(self, values: Values) -> None:
        await super().record({**values, "currency": "USD"})


class CutsLongTexts(Partner):
    async def record(self, values: Values) -> None:
        await super().record({**values, "campaign_name": values["campaign_name"][:255]})


class TakesDatesForLocalTime(Partner):
    async def record(self, values: Values) -> None:
        await super().record({**values, "event_date": values["event_date"][:19] + "+00:00"})


class HasNarrowColumns(Partner):
    async def record(self, values: Values) -> None:
        if len(values["sub_id1"]) > 255:
            raise ValueError("value too long for type character varying(255)")
        await super().record(values)


class HasASmallLimit(Partner):
    async def body(self, request: web.Request) -> bytes:
        body = await super().body(request)
        if len(body) > 10_000:
            raise Refused(413, "too large")
        return body


class KnowsDollarsOnly(Partner):
    async def record(self, values: Values) -> None:
        await super().record({**values, "rate": {"USD": 1}[values["currency"]]})


class CrashesOnNewFields(Partner):
    async def record(self, values: Values) -> None:
        if "unknown_extra" in values:
            raise TypeError("got an unexpected keyword argument 'unknown_extra'")
        await super().record(values)


class TrustsContentLength(Partner):
    async def body(self, request: web.Request) -> bytes:
        if request.content_length is None:
            raise KeyError("Content-Length")
        return await super().body(request)


class ReadsOnce(Partner):
    async def body(self, request: web.Request) -> bytes:
        return await request.content.readany()


class ClosesBeforeItAnswers(Partner):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Connection") == "close" and request.transport is not None:
            request.transport.close()
        return await super().answer(request)


class AnswersOnceForEachConnection(HandMade):
    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.exchange(reader, writer)
        # Somebody asks again, and it has gone.
        await reader.read(1)
        writer.transport.abort()


class LooksHeadersUpByTheLetter(Partner):
    def authorize(self, request: web.Request) -> None:
        if dict(request.raw_headers).get(b"X-Api-Key") != SECRET.encode():
            raise Refused(401, "who are you?")


# What it does not refuse


class AcceptsBeforeReading(Partner):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        await super().answer(request)
        return web.Response(text="OK")


class IgnoresWhatItCannotRead(Partner):
    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.content_type not in self.content_types:
            return web.Response(text="ignored")
        return await super().answer(request)


class TakesAnyMethod(Partner):
    methods = ("POST", "PUT", "DELETE")


class KnowsNoSecret(Partner):
    def authorize(self, request: web.Request) -> None:
        _ = request


class LooksOnlyWhetherThereIsASecret(Partner):
    def authorize(self, request: web.Request) -> None:
        if "X-Api-Key" not in request.headers:
            raise Refused(401, "who are you?")


class ComparesHowTheSecretBegins(Partner):
    def authorize(self, request: web.Request) -> None:
        given = request.headers.get("X-Api-Key")
        if not given or not SECRET.startswith(given):
            raise Refused(401, "who are you?")


class RunsOutOfMemory(Partner):
    async def body(self, request: web.Request) -> bytes:
        body = b""
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > 2_000_000:
                raise MemoryError
        return body


class TakesTheLastLength(HandMade):
    def length(self, told: list[str], headers: dict[str, str]) -> int:
        return super().length(told[-1:], headers)


class DiesOfDepth(Partner):
    def parsed(self, body: bytes) -> Values:
        if body.count(b"[") > 500:
            raise RecursionError("maximum recursion depth exceeded")
        return super().parsed(body)


class ReplacesBadBytes(Partner):
    def parsed(self, body: bytes) -> Values:
        return super().parsed(body.decode("utf-8", "replace").encode())


class UnfoldsEntities(XmlPartner):
    """A parser whose limit was switched off; what it would unfold to is left out here."""

    def parsed(self, body: bytes) -> Values:
        if b"SYSTEM" in body:
            raise Refused(400, "nothing from outside")
        return super().parsed(re.sub(rb"<!DOCTYPE.*?\]>|&e[0-9]+;", b"", body))


class FetchesEntities(XmlPartner):
    """A parser that does whatever a document asks for."""

    blocks = True

    def parsed(self, body: bytes) -> Values:
        found: dict[str, str] = {}

        class Root(handler.ContentHandler):
            def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  a name of SAX
                if name == "postback":
                    found.update(attrs.items())

        parser = make_parser()  # noqa: S317  that it is vulnerable is the point
        parser.setFeature(handler.feature_external_ges, True)
        parser.setContentHandler(Root())
        source = InputSource()
        source.setByteStream(BytesIO(body))
        try:
            parser.parse(source)
        except Exception as error:
            raise Refused(400, "no XML") from error
        return found
