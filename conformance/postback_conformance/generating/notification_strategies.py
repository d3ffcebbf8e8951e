"""Hypothesis strategies for the settings of a notification: legal ones, in every combination that the file allows.

They are drawn as the text of the TOML, so that what a test fails on can be written down and read again.
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import TypeAlias, get_args

import tomlkit
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from postback_conformance.generating.template_strategies import templates
from postback_conformance.generating.wire_strategies import made_before
from postback_conformance.generating.wrong_options import invalid
from postback_sender.delivery.retry import RETRY_PROFILES
from postback_sender.notification import (
    BodyFormat,
    Method,
    Notification,
    NotificationFile,
    NotificationSource,
    parse_notification,
)
from postback_sender.tokens import EVENT_KINDS

_Settings: TypeAlias = Mapping[str, object]

_URL = "http://127.0.0.1:8080/"
# A header is set by hand, in ASCII; the second value looks like one of HTTP's own lines.
_HEADERS = st.dictionaries(
    st.sampled_from(("X-Api-Key", "Authorization", "User-Agent", "X-Partner")),
    st.sampled_from(("secret", "a: b, c; d=1", "Basic dXNlcjpwYXNz", "")),
    min_size=1,
    max_size=2,
)
_METHODS: SearchStrategy[Method] = st.sampled_from(get_args(Method))
_FORMATS: SearchStrategy[BodyFormat] = st.sampled_from(get_args(BodyFormat))
# In every case the first choice is the documented default.
_DELAYS = st.sampled_from(("0s", "500ms", "2s", 1.5))
_RATES = st.sampled_from(("5/s", 1, "100/m"))
_SCOPES = st.sampled_from(("resends", "all"))
_LEVELS = st.sampled_from(("global", "event"))
_RETRIES: SearchStrategy[object] = st.one_of(
    st.sampled_from(tuple(RETRY_PROFILES)),
    st.lists(st.sampled_from(("0.5s", "2s", "1m")), max_size=3),
    st.fixed_dictionaries(
        {"profile": st.just("help-centre")},
        optional={"sends": st.integers(1, 16), "retry_after": st.booleans()},
    ),
)
_TIMEOUTS: SearchStrategy[object] = st.one_of(
    st.sampled_from(("10s", "250ms")), st.just({"total": "5s", "connect": "1s", "read": "2s"})
)
_MATCHERS: SearchStrategy[object] = st.one_of(
    st.sampled_from(("OK", "ERR")),
    st.just({"status": 200}),
    st.just({"status": [200, 202]}),
    st.just({"body_equals": ""}),
    st.just({"body_regex": "^OK$"}),
)
_OPTIONAL: Mapping[str, SearchStrategy[object]] = {
    "minimum_delay": _DELAYS,
    "maximum_requests": _RATES,
    "maximum_requests_scope": _SCOPES,
    "retry": _RETRIES,
    "timeout": _TIMEOUTS,
    "level": _LEVELS,
    "success_response": _MATCHERS,
    "error_response": _MATCHERS,
    "headers": _HEADERS,
}


def notifications(
    *,
    kind: str | None = None,
    method: Method | None = None,
    body_format: BodyFormat | None = None,
    url: str = _URL,
) -> SearchStrategy[Notification]:
    """Settings of notifications: any kind, method, body and way of sending, or those that are asked for.

    Body and query are templates of the catalogue's tokens, escaped by context, so each renders to well-formed text for
    every event of its kind. `url` is where the notification points, without a query.
    """
    return notification_sources(kind=kind, method=method, body_format=body_format, url=url).map(
        lambda source: parse_notification(source, None)
    )


def notification_sources(
    *,
    kind: str | None = None,
    method: Method | None = None,
    body_format: BodyFormat | None = None,
    url: str = _URL,
) -> SearchStrategy[NotificationSource]:
    """The same, as the text of the TOML."""
    problem = _problem_with(kind=kind, method=method, body_format=body_format)
    if problem:
        return invalid(problem)
    kinds = st.sampled_from(EVENT_KINDS) if kind is None else st.just(kind)
    methods: SearchStrategy[Method] = _METHODS if method is None else st.just(method)
    formats: SearchStrategy[BodyFormat] = _FORMATS if body_format is None else st.just(body_format)
    drawn = st.tuples(kinds, methods, formats).flatmap(lambda chosen: _sources(*chosen, url)).map(_written)
    every = [
        *product(
            EVENT_KINDS if kind is None else (kind,),
            get_args(Method) if method is None else (method,),
            get_args(BodyFormat) if body_format is None else (body_format,),
        )
    ]
    return made_before(drawn, lambda: (_sources(*chosen, url) for chosen in every))


def _sources(kind: str, method: Method, body_format: BodyFormat, url: str) -> SearchStrategy[_Settings]:
    return _settings(kind, method, body_format if method == "POST" else None, url)


# Made once for each, since a strategy takes longer to make than a value.
@cache
def _settings(kind: str, method: Method, body_format: BodyFormat | None, url: str) -> SearchStrategy[_Settings]:
    query = templates(text_format="query", kind=kind).map(lambda template: f"{url}?{template.source}")
    always: dict[str, SearchStrategy[object]] = {
        "event": st.just(kind),
        "url": st.one_of(st.just(url), query),
        "method": st.just(method),
    }
    if body_format is not None:
        always["body_format"] = st.just(body_format)
        always["body"] = templates(text_format=body_format, kind=kind).map(lambda template: template.source)
    return st.fixed_dictionaries(
        always,
        optional={**_OPTIONAL},
    )


def _written(settings: _Settings) -> NotificationSource:
    in_order = {key: settings[key] for key in NotificationFile.__struct_fields__ if key in settings}
    # A table has to stand behind what belongs to the top one.
    behind = dict(sorted(in_order.items(), key=lambda setting: isinstance(setting[1], dict)))
    return NotificationSource(name="notification.toml", text=tomlkit.dumps(behind))


def _problem_with(*, kind: str | None, method: str | None, body_format: str | None) -> str:
    for what, value, choices in (
        ("kind", kind, EVENT_KINDS),
        ("method", method, get_args(Method)),
        ("body_format", body_format, get_args(BodyFormat)),
    ):
        if value is not None and value not in choices:
            return f"expected {what} to be one of {', '.join(choices)}, got {value!r}"
    return ""
