"""`Notification`: the settings of one event notification, as a partner configures them at impact.com.

The file is TOML. Reading is pure: the file's text, the files it refers to and the environment are handed in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

import msgspec

from postback_sender.delivery.retry import RETRY_PROFILES, RetryProfile, custom_profile
from postback_sender.delivery.timeouts import Timeouts
from postback_sender.matcher import ResponseMatcher
from postback_sender.own_catalogue import read_catalogue
from postback_sender.quantities import QuantityError, Rate, parse_duration, parse_rate
from postback_sender.query_fields import problem_with_fields, url_with_fields
from postback_sender.settings_table import decode_table, fail, read_toml
from postback_sender.template import Template, TemplateOptions
from postback_sender.template.nodes import Join, Node, Text, TokenNode
from postback_sender.tokens import Catalogue

T = TypeVar("T", bound=msgspec.Struct)

Method = Literal["GET", "POST"]
BodyFormat = Literal["query", "json", "xml"]

_USER = re.compile(r"//[^/]*@")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# What says where a request ends and how its connection is used; a second one would let two servers read two requests.
_FRAMING_HEADERS = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
# RFC 9110 §5.6.2 (token) and §5.5: what a header may be called, and that its value stays on one line.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")


class NotificationSource(msgspec.Struct, frozen=True, kw_only=True):
    """The settings as written, with the files they refer to, so that they can travel and be read again elsewhere.

    Environment variables stay unresolved in here: a source never holds a secret that came from the environment.
    """

    name: str
    text: str
    files: dict[str, str] = {}


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one event notification, checked and in plain units (nanoseconds, counts).

    `event` is one of the kinds in `catalogue`, which holds the known tokens and kinds and those of these settings. The
    fields that a brand picked with check boxes are `query_fields`; `url` has them already.
    """

    name: str
    event: str
    url: Template
    query_fields: tuple[str, ...]
    method: Method
    body_format: BodyFormat
    body: Template | None
    headers: tuple[tuple[str, str], ...]
    minimum_delay_ns: int
    maximum_requests: Rate | None
    maximum_requests_scope: Literal["resends", "all"]
    retry: RetryProfile
    timeouts: Timeouts
    level: Literal["global", "event"]
    success_response: ResponseMatcher | None
    error_response: ResponseMatcher | None
    template: TemplateOptions
    catalogue: Catalogue

    @property
    def known_tokens(self) -> frozenset[str]:
        """Every token that exists for this notification; item fields as `*.field`."""
        return self.catalogue.known(self.event)


class NotificationFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it is written: texts with units, before they are understood."""

    event: str = "action_lifecycle"
    url: str = "http://127.0.0.1:8080/"
    query_fields: tuple[str, ...] = ()
    method: Method | None = None
    body_format: BodyFormat = "json"
    body: str | None = None
    body_file: str | None = None
    minimum_delay: str | float = "0s"
    maximum_requests: str | int | None = None
    maximum_requests_scope: Literal["resends", "all"] = "resends"
    retry: str | list[str | float] | dict[str, Any] = "help-centre"
    timeout: str | float | dict[str, Any] = "10s"
    level: Literal["global", "event"] = "global"
    success_response: str | dict[str, Any] | None = None
    error_response: str | dict[str, Any] | None = None
    headers: dict[str, str] = {}
    template: dict[str, Any] = {}
    tokens: dict[str, dict[str, Any]] = {}
    kinds: dict[str, dict[str, Any]] = {}


class _TimeoutTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `timeout`: for all of a request, for making its connection, for any silence."""

    total: str | float = "10s"
    connect: str | float | None = None
    read: str | float | None = None


class _RetryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table `retry`: a profile or delays, and what the sources leave open.

    "At most 15 times in total" (help centre) may count retries or sends; `sends` is the most sends in all.
    """

    profile: str | None = None
    delays: list[str | float] | None = None
    sends: Annotated[int, msgspec.Meta(ge=1)] | None = None
    retry_after: bool = False


def parse_notification(source: NotificationSource, environment: Mapping[str, str] | None) -> Notification:
    """Return the settings of a source, or raise `NotificationError` or `TemplateSyntaxError`.

    `${NAME}` in the URL and in header values is taken from `environment`; with None it stays as written, which is
    enough to judge traffic but not to send.
    """
    return _Reader(source, environment).notification()


class _Reader:
    def __init__(self, source: NotificationSource, environment: Mapping[str, str] | None) -> None:
        self._source = source
        self._environment = environment

    def notification(self) -> Notification:
        file = self._table(read_toml(self._source.text, name=self._source.name), NotificationFile, "")
        options = self._table(file.template, TemplateOptions, "template")
        body, body_key = self._body(file)
        body_name = file.body_file or f"{self._source.name}, body"
        method = file.method or ("GET" if body is None else "POST")
        if method == "GET" and body is not None:
            self._fail('body: a GET carries nothing in the body; remove it or set method = "POST"', body_key)
        catalogue = read_catalogue(
            file.event, tokens=file.tokens, kinds=file.kinds, text=self._source.text, name=self._source.name
        )
        return Notification(
            name=self._source.name,
            event=file.event,
            url=self._url(file, options, catalogue),
            query_fields=file.query_fields,
            method=method,
            body_format=file.body_format,
            body=None if body is None else Template.parse(body, options=options, name=body_name),
            headers=self._headers(file),
            minimum_delay_ns=self._duration(file.minimum_delay, "minimum_delay"),
            maximum_requests=self._rate(file.maximum_requests),
            maximum_requests_scope=file.maximum_requests_scope,
            retry=self._retry(file.retry),
            timeouts=self._timeouts(file.timeout),
            level=file.level,
            success_response=self._matcher(file.success_response, "success_response"),
            error_response=self._matcher(file.error_response, "error_response"),
            template=options,
            catalogue=catalogue,
        )

    def _url(self, file: NotificationFile, options: TemplateOptions, catalogue: Catalogue) -> Template:
        url = self._url_template(file.url, options)
        if file.query_fields:
            if problem := problem_with_fields(file.query_fields, file.event, catalogue):
                self._fail(f"query_fields: {problem}", "query_fields")
            self._check_plain(url)
            url = self._url_template(url_with_fields(file.url, file.query_fields), options)
        skeleton = "".join(node.text if isinstance(node, Text) else "0" for node in url.nodes)
        try:
            parts = urlsplit(skeleton)
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_usable = False
        if not is_usable:
            # A user's password stands before the host, and what follows the path may be a secret, too.
            shown = _USER.sub("//", skeleton.split("?")[0])
            self._fail(f"url: expected a URL such as http://127.0.0.1/postback, got {shown!r}", "url")
        return url

    def _url_template(self, source: str, options: TemplateOptions) -> Template:
        # Variables are put in after parsing: no error shows them, and a brace in a secret is a brace.
        written = Template.parse(source, options=options, name=f"{self._source.name}, url")
        return Template(source, self._with_variables(written.nodes), options=options, name=written.name)

    def _check_plain(self, url: Template) -> None:
        """Refuse a URL after which fields that were picked cannot be written."""
        for node in url.nodes:
            if not isinstance(node, Text):
                self._fail(
                    f"url: expected no token, since query_fields says what is sent, got {node.source}; name it there, "
                    "or remove query_fields and write the whole query here",
                    "url",
                )
        resolved = "".join(node.text for node in url.nodes if isinstance(node, Text))
        for mark in "?#":
            # Whoever judges by these settings has no variables, and would not find the place of the fields.
            if mark in resolved and mark not in url.source:
                self._fail(f"url: with query_fields, a variable cannot bring the {mark}; write it here", "url")

    def _body(self, file: NotificationFile) -> tuple[str | None, str]:
        if file.body is not None and file.body_file is not None:
            self._fail("body and body_file are both set; keep one of them", "body_file")
        if file.body_file is None:
            return file.body, "body"
        if file.body_file not in self._source.files:
            self._fail(f"body_file: no file {file.body_file!r} beside {self._source.name}", "body_file")
        return self._source.files[file.body_file], "body_file"

    def _with_variables(self, written: Sequence[Node]) -> tuple[Node, ...]:
        """Return the nodes of a URL in which each `$` with a token after it is a variable of the environment."""
        nodes: list[Node] = []
        for node in written:
            before = nodes[-1] if nodes else None
            if isinstance(node, TokenNode) and isinstance(before, Text) and before.text.endswith("$"):
                text = before.text[:-1] + self._variable(node.name, "url")
                nodes[-1] = Text(text, before.start, node.end)
            elif isinstance(node, Text) and isinstance(before, Text):
                nodes[-1] = Text(before.text + node.text, before.start, node.end)
            elif isinstance(node, Join):
                nodes.append(msgspec.structs.replace(node, body=self._with_variables(node.body)))
            else:
                nodes.append(node)
        return tuple(nodes)

    def _variable(self, name: str, key: str) -> str:
        if self._environment is None:
            return f"${{{name}}}"
        if name not in self._environment:
            self._fail(f"{key}: the environment has no {name}; set it, or write the value in", key)
        return self._environment[name]

    def _headers(self, file: NotificationFile) -> tuple[tuple[str, str], ...]:
        seen: dict[str, str] = {}
        for name in file.headers:
            if (before := seen.setdefault(name.lower(), name)) != name:
                self._fail(
                    f"headers.{name}: this is {before} once more; HTTP does not tell them apart", f"headers.{name}"
                )
            if name.lower() in _FRAMING_HEADERS:
                self._fail(f"headers.{name}: HTTP itself sets this one, by the request", f"headers.{name}")
        if "authorization" in seen and "@" in urlsplit(file.url).netloc:
            self._fail("headers.Authorization: the URL holds a user and password already; keep one of them", "headers")
        return tuple(self._header(name, value) for name, value in file.headers.items())

    def _header(self, name: str, value: str) -> tuple[str, str]:
        if not _HEADER_NAME.fullmatch(name):
            self._fail(f"headers: {name!r} is not a header name; letters, digits and dashes are", f"headers.{name}")
        resolved = _VARIABLE.sub(lambda found: self._variable(found[1], f"headers.{name}"), value)
        if not _HEADER_VALUE.fullmatch(resolved):
            # The value may be a secret: it is not repeated here.
            self._fail(
                f"headers.{name}: the value holds a line break, a control character or half a character",
                f"headers.{name}",
            )
        return name, resolved

    def _duration(self, value: str | float, key: str) -> int:
        try:
            return parse_duration(value)
        except QuantityError as error:
            self._fail(f"{key}: {error}", key)

    def _rate(self, value: str | int | None) -> Rate | None:
        try:
            return None if value is None else parse_rate(value)
        except QuantityError as error:
            self._fail(f"maximum_requests: {error}", "maximum_requests")

    def _timeouts(self, value: str | float | dict[str, Any]) -> Timeouts:
        table = self._table(value if isinstance(value, dict) else {"total": value}, _TimeoutTable, "timeout")
        spans = {
            key: None if span is None else self._span(span, f"timeout.{key}")
            for key, span in (("connect", table.connect), ("read", table.read))
        }
        total_ns = self._span(table.total, "timeout.total" if isinstance(value, dict) else "timeout")
        return Timeouts(total_ns=total_ns, connect_ns=spans["connect"], read_ns=spans["read"])

    def _span(self, value: str | float, key: str) -> int:
        return self._duration(value, key) or self._fail(f"{key}: expected more than 0", key)

    def _retry(self, value: str | list[str | float] | dict[str, Any]) -> RetryProfile:
        if not isinstance(value, dict):
            return self._profile(value)
        table = self._table(value, _RetryTable, "retry")
        if table.profile is not None and table.delays is not None:
            self._fail("retry: profile and delays are both set; keep one of them", "retry")
        profile = self._profile(table.profile if table.delays is None else table.delays)
        delays_ns = profile.delays_ns if table.sends is None else profile.delays_ns[: table.sends - 1]
        return msgspec.structs.replace(profile, delays_ns=delays_ns, honours_retry_after=table.retry_after)

    def _profile(self, value: str | list[str | float] | None) -> RetryProfile:
        if isinstance(value, list):
            return custom_profile(tuple(self._duration(delay, "retry") for delay in value))
        if value is None:
            return RETRY_PROFILES["help-centre"]
        if value not in RETRY_PROFILES:
            expected = ", ".join(f'"{name}"' for name in RETRY_PROFILES)
            self._fail(
                f'retry: expected {expected} or a list of delays such as [0.5, 2, "30s"], got "{value}"', "retry"
            )
        return RETRY_PROFILES[value]

    def _matcher(self, value: str | dict[str, Any] | None, key: str) -> ResponseMatcher | None:
        if value is None:
            return None
        if isinstance(value, str):
            return ResponseMatcher(body_contains=value)
        status = value.get("status", ())
        table = {**value, "status": [status] if isinstance(status, int) else status}
        matcher = self._table(table, ResponseMatcher, key)
        try:
            re.compile(matcher.body_regex or "")
        except (re.error, OverflowError, RecursionError) as error:
            self._fail(f"{key}.body_regex: not a regular expression: {error}", f"{key}.body_regex")
        return matcher

    def _table(self, table: Mapping[str, Any], kind: type[T], path: str) -> T:
        return decode_table(table, kind, path=path, text=self._source.text, name=self._source.name)

    def _fail(self, message: str, key: str) -> NoReturn:
        path, _, key = key.rpartition(".")
        fail(message, path, key, text=self._source.text, name=self._source.name)
