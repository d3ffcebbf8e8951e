"""The pytest plugin of Postback Kit: receivers and senders as fixtures, and the endpoint suite as tests.

    def test_my_endpoint(postback_case):    # one test for each case of the suite
        postback_case()

pytest loads this module at every start, in everybody's repository. So it is one flat module that imports nothing of
ours until something is used, and every name it adds begins with `postback`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from postback_conformance.driving import EventSender
    from postback_conformance.hosting.hosted import Hosted
    from postback_conformance.judge import Judgement
    from postback_conformance.pytest_plugin.cases import Given, PostbackCase
    from postback_conformance.pytest_plugin.making import MadeReceiver
    from postback_receiver import AsyncReceiver, Receiver
    from postback_receiver.receiver import ReceiverBase

# Name, what it is when nobody says, and what it is for; as an option --postback-NAME and as an ini key postback_NAME.
_TEXTS = (
    ("app", "the endpoint under test: a URL, module:name of an application, or a command with {port} in it"),
    ("path", "where postbacks go at an endpoint that is an application or a command; / unless given"),
    ("notification", "the TOML of the notification that the endpoint is to take"),
    ("probe", "what tells which actions the endpoint recorded: a URL, or module:function"),
    ("replay", "a case file of an earlier failure, which is run again instead of the suite"),
    ("seed", "the seed of all that is generated; 0 unless given"),
    ("max-examples", "how many generated examples a case tries"),
    ("fail-on", "the least level whose findings fail a test: must (unless given), should or info"),
)
_LISTS = (
    ("only", "cases of the suite to run, as a glob such as accepts.*"),
    ("skip", "cases of the suite to leave out, as a glob"),
    ("allow-host", "a host other than this machine that may be sent to"),
)
_SWITCHES = (
    ("quick", "fewer examples in each case"),
    ("strict", "fail a test also where its case could not be decided"),
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

    return f"postback-kit {version('postback-kit')}: seed {_seed(config)}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each case of the endpoint suite out of a test with the fixture `postback_case`."""
    if "postback_case" not in metafunc.fixturenames:
        return
    from postback_conformance.pytest_plugin import cases  # noqa: PLC0415  nothing of ours before

    if replay := _replay(metafunc.config):
        names = [cases.again(replay).case.id]
        metafunc.parametrize("postback_case", names, ids=names, indirect=True)
        return
    marker = metafunc.definition.get_closest_marker("postback")
    marked: Mapping[str, Any] = marker.kwargs if marker else {}
    chosen = cases.chosen_cases(
        _list(metafunc.config, "only") or _several(marked.get("only", ())),
        [*_list(metafunc.config, "skip"), *_several(marked.get("skip", ()))],
    )
    names = [case.id for case in chosen]
    metafunc.parametrize("postback_case", names, ids=names, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what its receivers captured, and what is wrong with that."""
    report = yield
    if call.when == "call":
        nobody: list[MadeReceiver] = []
        made = item.config.stash.get(_MADE, nobody)
        receivers = [*item.stash.get(_RECEIVERS, [*nobody]), *made]
        if receivers and report.failed:
            _tell_of(receivers, item, report)
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
    return _seed(pytestconfig)


@pytest.fixture(scope="session")
def postback_app(pytestconfig: pytest.Config) -> object:
    """The endpoint under test, of --postback-app; or override it.

    A URL, `module:name`, an aiohttp application, an ASGI or a WSGI callable, or a command as a list with "{port}".
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
    """Where postbacks go at an endpoint that is an application or a command, of --postback-path; or override it."""
    return _text(pytestconfig, "path") or "/"


@pytest.fixture(scope="session")
def postback_notification(pytestconfig: pytest.Config) -> Given | None:
    """The notification that the endpoint is to take, or its file, of --postback-notification; or override it."""
    return _text(pytestconfig, "notification") or None


@pytest.fixture(scope="session")
def postback_probe(pytestconfig: pytest.Config) -> object:
    """What tells which actions the endpoint recorded, of --postback-probe; or override it with a function.

    It takes an action's id; docs/harness.md says what it returns.
    """
    return _text(pytestconfig, "probe") or None


@pytest.fixture(scope="module")
def postback_endpoint(postback_app: object, postback_path: str) -> Iterator[Hosted]:
    """The endpoint under test, listening: its `url`, and `restart` if it can be restarted."""
    from postback_conformance.hosting.app import hosted  # noqa: PLC0415  nothing of ours before a fixture is used

    with hosted(postback_app, path=postback_path) as endpoint:
        yield endpoint


@pytest.fixture
def postback_case(
    request: pytest.FixtureRequest,
    postback_endpoint: Hosted,
    postback_notification: Given | None,
    postback_probe: object,
) -> PostbackCase:
    """A case of the endpoint suite; a test that has it is made once for each case, and calls it."""
    from postback_conformance.pytest_plugin import cases  # noqa: PLC0415  nothing of ours before a fixture is used

    config = request.config
    again = cases.again(replay) if (replay := _replay(config)) else None
    given = again.file.notification if again else _given(request.node, postback_notification)
    if given is None:
        pytest.fail(
            "there is no notification to test with: override the fixture postback_notification, mark the test "
            '@pytest.mark.postback("notification.toml"), or give --postback-notification',
            pytrace=False,
        )
    hosts = tuple(_list(config, "allow-host"))
    # There is no cache with -p no:cacheprovider.
    cache = getattr(config, "cache", None)
    settings = cases.Settings(
        seed=again.file.seed if again else _seed(config),
        max_examples=again.file.max_examples if again else _number(config, "max-examples"),
        quick=not again and _switch(config, "quick"),
        fail_on=cases.fail_on(_text(config, "fail-on") or "must"),
        strict=_switch(config, "strict"),
        allowed_hosts=hosts,
        folder=None if cache is None else cache.mkdir("postback-cases"),
    )
    return cases.PostbackCase(
        again.case if again else cases.case_named(request.param),
        postback_endpoint,
        cases.told_of(given, _folders(request.node)),
        cases.probe_of(postback_probe, hosts),
        settings=settings,
        # As record_property does, which warns where JUnit's stricter schema knows no properties of a test.
        record=lambda name, value: request.node.user_properties.append((name, value)),
    )


def _watch(request: pytest.FixtureRequest, receiver: ReceiverBase) -> None:
    node: pytest.Item = request.node
    node.stash.setdefault(_RECEIVERS, []).append(receiver)


def _tell_of(receivers: list[ReceiverBase], item: pytest.Item, report: pytest.TestReport) -> None:
    # Nothing of ours before.
    from postback_conformance.pytest_plugin.cases import told_of  # noqa: PLC0415
    from postback_conformance.pytest_plugin.sections import sections  # noqa: PLC0415

    given = _given(item, getattr(item, "funcargs", {}).get("postback_notification"))
    report.sections += sections(receivers, told_of(given, _folders(item)).notification if given else None)


def _given(item: pytest.Item, fixture: Given | None) -> Given | None:
    """Return the notification of a test: of the command line, its marker, what the fixture gave, the ini file."""
    marker = item.get_closest_marker("postback")
    marked: Given | None = None
    if marker is not None:
        marked = marker.args[0] if marker.args else marker.kwargs.get("notification")
    given: Given | None = item.config.getoption("postback_notification") or marked or fixture
    return given or _text(item.config, "notification") or None


def _folders(item: pytest.Item) -> list[Path]:
    """Return the folders that the path of a notification may be relative to."""
    return [item.config.invocation_params.dir, item.path.parent, item.config.rootpath]


def _replay(config: pytest.Config) -> Path | None:
    replay = _text(config, "replay")
    return config.invocation_params.dir / replay if replay else None


def _is_ours(value: object) -> bool:
    if isinstance(value, list | tuple):
        several = cast("Sequence[object]", value)
        value = several[0] if several else None
    return type(value).__module__.startswith(("postback_sender.", "postback_receiver.", "postback_conformance."))


def _key(name: str) -> str:
    return f"postback_{name.replace('-', '_')}"


def _text(config: pytest.Config, name: str) -> str:
    return str(config.getoption(_key(name)) or config.getini(_key(name)))


def _number(config: pytest.Config, name: str) -> int | None:
    text = _text(config, name)
    try:
        return int(text) if text else None
    except ValueError:
        raise pytest.UsageError(f"--postback-{name}: expected a whole number, got {text!r}") from None


def _seed(config: pytest.Config) -> int:
    return _number(config, "seed") or 0


def _list(config: pytest.Config, name: str) -> list[str]:
    return [*(config.getoption(_key(name)) or config.getini(_key(name)))]


def _switch(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(_key(name)) or config.getini(_key(name)))


def _several(patterns: str | list[str] | tuple[str, ...]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else [*patterns]
