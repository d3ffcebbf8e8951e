"""The endpoint under test: put on a socket, restarted, and asked what it recorded."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Final, cast

import pytest

from postback_conformance.errors import ConformanceError
from postback_conformance.hosting.app import hosted
from postback_conformance.hosting.hosted import Hosted
from postback_conformance.pytest_plugin.asked import in_pytest, several
from postback_conformance.pytest_plugin.trusting import trust_of
from postback_conformance.suite.probe import CallableProbe, Probe, ProbeFunction, probe_at
from postback_conformance.suite.restarting import restart_by
from postback_sender import SenderError
from postback_sender.delivery.origin import split_url
from postback_sender.delivery.target import check_target

Restart = Callable[[], Awaitable[None]]

_A_PROBE: Final = 'expected a path at the endpoint ("/probe"), a URL, module:function or a function'


@contextmanager
def listening(config: pytest.Config, app: object, path: str, restart: object) -> Generator[Hosted]:
    """Put the endpoint on a socket for as long as the block lasts; what keeps it from that fails the test."""
    with ExitStack() as stack:
        _let_modules_lie_here(config, app)
        try:
            endpoint = stack.enter_context(hosted(app, path=path))
            if "://" in str(app):
                check_target(endpoint.url, allowed_hosts=several(config, "allow-host"))
            given = _restart_of(restart, endpoint.url)
        except (ConformanceError, SenderError) as error:
            raise pytest.fail.Exception(f"postback_endpoint: {in_pytest(str(error))}", pytrace=False) from None
        yield endpoint if given is None else Hosted(url=endpoint.url, restart=given)


def probe_of(config: pytest.Config, given: object, url: str) -> Probe | None:
    """Return the probe: a path at the endpoint's URL, a URL, `module:function`, or a function; None for none."""
    if given is None:
        return None
    if isinstance(given, str):
        if not given.startswith("/") and not all(given.partition(":")):
            raise ConformanceError(f"postback_probe: {_A_PROBE}, got {given!r:.100}")
        _let_modules_lie_here(config, given)
        return probe_at(given, endpoint=url, allowed_hosts=several(config, "allow-host"), trust=trust_of(config))
    if not callable(given):
        raise ConformanceError(f"postback_probe: {_A_PROBE}, got {given!r:.100}")
    return CallableProbe(cast("ProbeFunction", given))


def _restart_of(given: object, url: str) -> Restart | None:
    """Return what starts the endpoint anew: a command, or a function that may be asynchronous; None for none."""
    if given is None:
        return None
    if isinstance(given, str):
        return restart_by(given, split_url(url)[0][0])
    if not callable(given):
        raise ConformanceError(f"postback_restart: expected a command or a function, got {given!r:.100}")
    function = cast("Callable[[], object]", given)

    async def restart() -> None:
        # Not in the loop that talks to the endpoint: it may take a while.
        done = function() if inspect.iscoroutinefunction(function) else await asyncio.to_thread(function)
        if isinstance(done, Awaitable):
            await cast("Awaitable[object]", done)

    return restart


def _let_modules_lie_here(config: pytest.Config, place: object) -> None:
    """Find `module:name` also where pytest was started, as `postback conform` does; last, so that it hides nothing."""
    here = str(config.invocation_params.dir)
    if isinstance(place, str) and "://" not in place and here not in sys.path:
        sys.path.append(here)
