"""The pytest plugin of Postback Kit: receivers and senders as fixtures, and the endpoint suite as tests.

    def test_my_endpoint(postback_case):    # one test for each case of the suite
        postback_case()

pytest loads this module at every start, in everybody's repository. So it is one flat module that imports nothing of
ours until something is used, and every name it adds begins with `postback`. The types of the fixtures are in
`postback_conformance.testing`, since a flat module cannot say that it is typed (PEP 561).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterator, Sequence

    from postback_conformance.judging.judge import Judgement
    from postback_conformance.pytest_plugin.asked import Given
    from postback_conformance.pytest_plugin.making import MadeReceiver
    from postback_conformance.testing import EventSender, Hosted, PostbackCase
    from postback_receiver import AsyncReceiver, Receiver
    from postback_receiver.receiver import ReceiverBase

# Name, what it is when nobody says, and what it is for; as an option --postback-NAME and as an ini key postback_NAME.
_TEXTS = (
    ("app", "the endpoint under test: a URL, module:name of an application, or a command with {port} in it"),
    ("path", "where postbacks go at an application or a command; unless given, the path of the notification's own URL"),
    ("notification", "the TOML of the notification that the endpoint is to take"),
    ("probe", "what tells which actions the endpoint recorded: a path there, a URL, or module:function"),
    ("restart", "a command that ends the endpoint the hard way and starts it anew, if postback_app is none"),
    ("ca-file", "a file of certificates that are trusted, too, at the endpoint and at its probe"),
    ("replay", "a case file of an earlier failure, which is run again instead of the suite"),
    ("seed", "the seed of all that is generated; 0 unless given"),
    ("max-examples", "how many generated examples a case tries"),
    ("fail-on", "the least level whose cases fail a test: must (unless given), should or info"),
)
_LISTS = (
    ("only", "cases of the suite to run, as a glob such as accepts.*"),
    ("skip", "cases of the suite to leave out, as a glob"),
    ("allow-host", "a host other than this machine that may be sent to"),
)
_SWITCHES = (
    ("insecure", "trust any certificate at the endpoint and at its probe"),
    ("quick", "fewer examples in each case"),
    ("strict", "let cases of the level SHOULD fail a test, too, as postback conform --strict does"),
)
_MARKER = (
    "postback(notification=None, *, only=(), skip=()): the notification of a test, and which cases of the endpoint "
    "suite it is, for tests with the fixture postback_case"
)
_RECEIVERS = pytest.StashKey["list[ReceiverBase]"]()
# Receivers that outlive a test, of postback_receiver_factory: shown with whatever test fails meanwhile.
_MADE = pytest.StashKey["list[MadeReceiver]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options and ini keys."""
    group = parser.getgroup("postback", "postbacks of impact.com")
    for name, meaning in _TEXTS:
        group.addoption(f"--postback-{name}", metavar=name.rpartition("-")[2].upper(), help=meaning)
        parser.addini(_key(name), meaning, default="")
    for name, meaning in _LISTS:
        group.addoption(f"--postback-{name}", action="append", metavar=name.rpartition("-")[2].upper(), help=meaning)
        parser.addini(_key(name), meaning, type="args", default=[])
    for name, meaning in _SWITCHES:
        group.addoption(f"--postback-{name}", action="store_true", default=None, help=meaning)
        parser.addini(_key(name), meaning, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which version this is, and the seed of what it generates."""
    from importlib.metadata import version  # noqa: PLC0415  not where nobody sees the header

    seed = config.getoption("postback_seed") or config.getini("postback_seed") or 0
    return f"postback-kit {version('postback-kit')}: seed {seed}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each case of the endpoint suite out of a test with the fixture `postback_case`."""
    if "postback_case" in metafunc.fixturenames:
        from postback_conformance.pytest_plugin.cases import case_ids  # noqa: PLC0415  nothing of ours before

        ids = case_ids(metafunc.definition)
        metafunc.parametrize("postback_case", ids, ids=ids, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what its receivers captured, and what is wrong with that; tell once what ails all."""
    if call.when == "setup" and call.excinfo is not None and "postback_case" in getattr(item, "fixturenames", ()):
        from postback_conformance.pytest_plugin.once import tell_once  # noqa: PLC0415  nothing of ours before

        tell_once(item, call.excinfo.value)
    report = yield
    nobody: list[MadeReceiver] = []
    made = item.config.stash.get(_MADE, nobody)
    if report.failed:
        receivers = [*item.stash.get(_RECEIVERS, [*nobody]), *made]
        if receivers:
            from postback_conformance.pytest_plugin.sections import sections_of  # noqa: PLC0415  nothing of ours before

            report.sections += sections_of(item, receivers)
    if call.when == "teardown":
        made[:] = [receiver for receiver in made if not receiver.is_over]
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain where two records of ours differ."""
    if op != "==" or not (_is_ours(left) and _is_ours(right)):
        return None
    from postback_conformance.pytest_plugin.explaining import explained  # noqa: PLC0415  nothing of ours before

    return explained(left, right)


@pytest.fixture
def postback_listen_address() -> tuple[str, int]:
    """Where `postback_receiver` listens: host and port, 0 for a free one. Override it to change that."""
    return "127.0.0.1", 0


@pytest.fixture
def postback_ssl_context() -> ssl.SSLContext | None:
    """What `postback_receiver` speaks TLS with; None for plain HTTP. Override it to change that."""
    return None


@pytest.fixture
def postback_receiver(
    request: pytest.FixtureRequest,
    postback_listen_address: tuple[str, int],
    postback_ssl_context: ssl.SSLContext | None,
) -> Iterator[Receiver]:
    """A running receiver of postbacks: `url`, `wait_for(...)`, `captures(...)`, `reply(...)` and more."""
    from postback_receiver import Receiver  # noqa: PLC0415  nothing of ours before a fixture is used

    host, port = postback_listen_address
    with Receiver(host=host, port=port, ssl_context=postback_ssl_context) as receiver:
        _watch(request, receiver)
        yield receiver


@pytest.fixture
def postback_async_receiver(
    request: pytest.FixtureRequest,
    postback_listen_address: tuple[str, int],
    postback_ssl_context: ssl.SSLContext | None,
) -> Iterator[AsyncReceiver]:
    """The same for asynchronous tests, whatever runs them: `await postback_async_receiver.wait_for(...)`."""
    from postback_receiver import AsyncReceiver  # noqa: PLC0415  nothing of ours before a fixture is used

    host, port = postback_listen_address
    with AsyncReceiver(host=host, port=port, ssl_context=postback_ssl_context) as receiver:
        _watch(request, receiver)
        yield receiver


@pytest.fixture(scope="session")
def postback_receiver_factory(pytestconfig: pytest.Config) -> Iterator[Callable[..., Receiver]]:
    """A maker of receivers for a `with` statement; it takes what `Receiver` takes."""
    from postback_conformance.pytest_plugin.making import factory  # noqa: PLC0415  nothing of ours before

    made: list[MadeReceiver] = []
    pytestconfig.stash[_MADE] = made
    yield factory(made)
    del pytestconfig.stash[_MADE]


@pytest.fixture
def postback_sender() -> EventSender:
    """Sends what impact.com would send: `postback_sender.send("notification.toml", to=url)`."""
    from postback_conformance.driving import EventSender  # noqa: PLC0415  nothing of ours before a fixture is used

    return EventSender()


@pytest.fixture(scope="session")
def postback_check() -> Callable[..., Judgement]:
    """Judges captures as `postback check` does: `postback_check(postback_receiver.captures(), "notification.toml")`."""
    from postback_conformance.asserting import assert_conforms  # noqa: PLC0415  nothing of ours before a fixture is used

    return assert_conforms


@pytest.fixture(scope="session")
def postback_seed(pytestconfig: pytest.Config) -> int:
    """The seed of what is generated in this run: of --postback-seed, else 0."""
    from postback_conformance.pytest_plugin.asked import number  # noqa: PLC0415  nothing of ours before

    return number(pytestconfig, "seed") or 0


@pytest.fixture(scope="session")
def postback_app(pytestconfig: pytest.Config) -> object:
    """The endpoint under test, of --postback-app; or override it.

    A URL, `module:name`, an aiohttp application, an ASGI or a WSGI callable, or a command: a list with "{port}" in it,
    or `Command([...], env=..., cwd=...)`.
    """
    app = _text(pytestconfig, "app")
    if not app:
        pytest.fail(
            "there is no endpoint to test: override the fixture postback_app, or give --postback-app a URL, "
            "module:name or a command",
            pytrace=False,
        )
    return app


@pytest.fixture(scope="session")
def postback_path(pytestconfig: pytest.Config) -> str:
    """Where postbacks go at an endpoint that is an application or a command, of --postback-path; or override it.

    Unless given, where the notification's own URL points.
    """
    return _text(pytestconfig, "path") or "/"


@pytest.fixture(scope="session")
def postback_notification(pytestconfig: pytest.Config) -> Given | None:
    """The notification that the endpoint is to take, or its file, of --postback-notification; or override it."""
    return _text(pytestconfig, "notification") or None


@pytest.fixture(scope="session")
def postback_probe(pytestconfig: pytest.Config) -> object:
    """What tells which actions the endpoint recorded, of --postback-probe; or override it.

    A path at the endpoint such as "/probe", a URL, `module:function`, or a function that takes an action's id;
    docs/harness.md says what each answers.
    """
    return _text(pytestconfig, "probe") or None


@pytest.fixture(scope="session")
def postback_restart(pytestconfig: pytest.Config) -> object:
    """What starts the endpoint anew, of --postback-restart; or override it with a function, also an asynchronous one.

    It ends the endpoint the hard way, and returns when it is started. A postback_app that is a command needs none.
    """
    return _text(pytestconfig, "restart") or None


@pytest.fixture(scope="module")
def postback_endpoint(
    pytestconfig: pytest.Config, postback_app: object, postback_path: str, postback_restart: object
) -> Iterator[Hosted]:
    """The endpoint under test, listening: its `url`, and `restart` if it can be restarted."""
    from postback_conformance.pytest_plugin.endpoint_under_test import listening  # noqa: PLC0415  nothing of ours before

    with listening(pytestconfig, postback_app, postback_path, postback_restart) as endpoint:
        yield endpoint


@pytest.fixture
def postback_case(
    request: pytest.FixtureRequest,
    postback_endpoint: Hosted,
    postback_notification: Given | None,
    postback_probe: object,
) -> PostbackCase:
    """A case of the endpoint suite; a test that has it is made once for each case, and calls it."""
    from postback_conformance.pytest_plugin.cases import asked_case  # noqa: PLC0415  nothing of ours before

    return asked_case(request, postback_endpoint, postback_notification, postback_probe)


def _watch(request: pytest.FixtureRequest, receiver: ReceiverBase) -> None:
    node: pytest.Item = request.node
    node.stash.setdefault(_RECEIVERS, []).append(receiver)


def _is_ours(value: object) -> bool:
    if isinstance(value, list | tuple):
        several = cast("Sequence[object]", value)
        value = several[0] if several else None
    return type(value).__module__.startswith(("postback_sender.", "postback_receiver.", "postback_conformance."))


def _key(name: str) -> str:
    return f"postback_{name.replace('-', '_')}"


def _text(config: pytest.Config, name: str) -> str:
    return str(config.getoption(_key(name)) or config.getini(_key(name)))
