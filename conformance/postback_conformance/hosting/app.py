"""Whatever an endpoint is made of, put on a socket: what it is is told by how it looks."""

import inspect
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pkgutil import resolve_name
from typing import Literal, TypeAlias, cast, get_args

from postback_conformance.hosting.command_host import Command, started
from postback_conformance.hosting.hosted import Hosted, HostingError

AppKind: TypeAlias = Literal["url", "aiohttp", "asgi", "wsgi", "command"]

_EXPECTED = (
    "expected a URL, module:name, an aiohttp application, an ASGI or WSGI callable, or a command: a list of texts, or "
    "Command([...], env=..., cwd=...)"
)


def hosted(
    app: object,
    *,
    path: str = "/",
    kind: AppKind | None = None,
) -> AbstractContextManager[Hosted]:
    """Put an endpoint on a socket of this machine for as long as the `with` block lasts; a URL is taken as it is.

    `path` is where postbacks go, unless the app is a URL. `kind` says what the app is where its looks mislead.
    `module:name` is imported; a text with blanks is a command, and so is a list of texts or, with an environment and a
    folder of its own, a `Command`. Raises `HostingError`.
    """
    if kind is not None and kind not in get_args(AppKind):
        raise HostingError(f"expected one of {', '.join(get_args(AppKind))}, got {kind!r}")
    if isinstance(app, str) and kind not in {"url", "command"} and "://" not in app and " " not in app:
        app = imported(app)
    chosen = kind or kind_of(app)
    if chosen == "url":
        return _as_it_is(str(app))
    if chosen == "command":
        return started(app if isinstance(app, Command) else Command(cast("Sequence[str] | str", app)), path=path)
    return _in_this_process(app, chosen, path)


def kind_of(app: object) -> AppKind:
    """Return what an app is, or raise `HostingError`."""
    if isinstance(app, str):
        return "url" if "://" in app else "command"
    if isinstance(app, Command):
        return "command"
    if isinstance(app, list | tuple):
        parts = cast("Sequence[object]", app)
        if parts and all(isinstance(part, str) for part in parts):
            return "command"
    elif _is_aiohttp(app):
        return "aiohttp"
    elif callable(app):
        # A function, or an object of a framework's class.
        is_asynchronous = any(map(inspect.iscoroutinefunction, (app, type(app).__call__)))
        return "asgi" if is_asynchronous else "wsgi"
    raise HostingError(f"{_EXPECTED}, got {app!r:.100}")


def imported(place: str) -> object:
    """Return what stands at `module:name`, or raise `HostingError`."""
    module, colon, name = place.partition(":")
    if not colon or not module or not name:
        raise HostingError(f"{_EXPECTED}, got {place!r}")
    try:
        return resolve_name(place)
    except Exception as error:
        raise HostingError(f"{place}: cannot be loaded: {type(error).__name__}: {error}") from error


def _is_aiohttp(app: object) -> bool:
    # By name, since an application of another framework needs no aiohttp.
    return any(each.__module__.startswith("aiohttp.") and each.__name__ == "Application" for each in type(app).__mro__)


@contextmanager
def _as_it_is(url: str) -> Generator[Hosted]:
    yield Hosted(url=url)


@contextmanager
def _in_this_process(app: object, kind: AppKind, path: str) -> Generator[Hosted]:
    # Each host only when it is used.
    from aiohttp import web  # noqa: PLC0415

    from postback_conformance.hosting.asgi_host import AsgiApp, listening_asgi  # noqa: PLC0415
    from postback_conformance.hosting.serving import listening_aiohttp, served  # noqa: PLC0415
    from postback_conformance.hosting.wsgi_host import WsgiApp, listening_wsgi  # noqa: PLC0415

    match kind:
        case "aiohttp":
            listening = listening_aiohttp(cast("web.Application", app))
        case "asgi":
            listening = listening_asgi(cast("AsgiApp", app))
        case _:
            listening = listening_wsgi(cast("WsgiApp", app))
    with served(listening) as url:
        yield Hosted(url=url + path)
