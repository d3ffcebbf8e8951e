"""The pytest plugin, in a pytest of its own; in this process, since a start takes its time."""

import re
import xml.etree.ElementTree as ET
from importlib import import_module

import pytest

from fork_server import PATIENCE_S

pytest_plugins = ["pytester"]

# An inner pytest forgets what it imported; what is there before stays, so that it is loaded once and not in each test.
for name in (
    *(f"pytest_plugin.{name}" for name in ("again", "explaining", "failing", "making", "sections")),
    *("hosting.asgi_host", "hosting.wsgi_host"),
):
    import_module(f"postback_conformance.{name}")
import_module("postback_receiver.async_receiver")
import_module("postback_conformance.testing")


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A pytest as a partner has it: the plugin found by its entry point, every warning an error."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def passed(inner: pytest.Pytester, source: str, count: int = 1, *options: str) -> None:
    inner.makepyfile(source)
    inner.runpytest_inprocess(*options).assert_outcomes(passed=count)


def test_the_receiver_starts_empty_for_each_test(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        import urllib.request
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_one_arrives(postback_receiver, number):
            assert postback_receiver.captures() == []
            urllib.request.urlopen(postback_receiver.url, data=b"x").close()
            assert len(postback_receiver.wait_for_count(1)) == 1
        """,
        count=2,
    )


def test_address_and_tls_can_be_overridden(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        import socket
        import pytest
        from postback_receiver.tls import make_tls

        @pytest.fixture
        def postback_listen_address():
            with socket.create_server(("127.0.0.1", 0)) as free:
                return free.getsockname()

        @pytest.fixture
        def postback_ssl_context():
            return make_tls().context

        def test_it_listens_there(postback_listen_address, postback_receiver):
            assert postback_receiver.url == f"https://127.0.0.1:{postback_listen_address[1]}"
        """,
    )


def test_the_factory_makes_as_many_receivers_as_a_test_wants(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        def test_two(postback_receiver_factory):
            with postback_receiver_factory() as one, postback_receiver_factory() as two:
                assert one.port != two.port
        """,
    )


def test_sender_and_receiver_work_in_an_asynchronous_test(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        import asyncio

        def test_inside_a_running_loop(postback_receiver, postback_async_receiver, postback_sender, tmp_path):
            notification = tmp_path / "n.toml"
            notification.write_text('url = "http://127.0.0.1/?id={ActionId}&status={Status}"')

            async def main():
                postback_sender.send(notification, to=postback_async_receiver.url, count=1, seed=1)
                assert len(await postback_async_receiver.wait_for_count(1)) == 1
                return postback_sender.send(notification, to=postback_receiver.url, count=1, seed=1)

            assert len(asyncio.run(main())) == 1
            assert len(postback_receiver.wait_for_count(1)) == 1
        """,
    )


def test_a_wait_in_vain_fails_the_test_and_lists_what_arrived(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import urllib.request

        def test_two_never_come(postback_receiver):
            urllib.request.urlopen(postback_receiver.url + "/only-one", data=b"x").close()
            postback_receiver.wait_for_count(2, timeout=0.1)
        """
    )
    result = inner.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Waited 0.1 s for 2 requests; 1 arrived:", "*POST /only-one (1 bytes, answered 200)"])


def test_a_failure_shows_what_was_captured_what_is_wrong_with_it_and_how_to_send_it_again(
    inner: pytest.Pytester,
) -> None:
    """Of the receivers of this test, and of those that a factory made; without secrets."""
    inner.makefile(
        ".toml",
        n="""
        url = "http://127.0.0.1/p?status={Status}"
        method = "GET"
        [headers]
        X-Api-Key = "hunter2"
        """,
    )
    inner.makepyfile(
        """
        import urllib.request
        import pytest

        @pytest.mark.postback("n.toml")
        def test_of_one(postback_receiver, postback_sender):
            postback_sender.send("n.toml", to=postback_receiver.url, count=1, seed=1)
            urllib.request.urlopen(postback_receiver.url + "/p?status=LOST").close()
            assert False

        def test_of_the_factory(postback_receiver_factory):
            with postback_receiver_factory() as receiver:
                urllib.request.urlopen(receiver.url + "/made").close()
                assert False

        def test_of_neither(postback_receiver_factory):
            assert False

        @pytest.fixture
        def waiting(postback_receiver):
            assert False

        @pytest.mark.postback("none.toml")
        def test_of_a_fixture(waiting):
            pass
        """
    )
    result = inner.runpytest_inprocess()

    result.assert_outcomes(failed=3, errors=1)
    before, text = result.stdout.str().split("= FAILURES =")
    one, rest = text.split("_ test_of_the_factory _")
    other, neither = rest.split("_ test_of_neither _")
    assert "2 requests" in one
    assert "GET /p?status=LOST (0 bytes, answered 200)" in one
    assert "MUST field.status" in one
    assert "curl 'http://127.0.0.1:" in one
    assert "X-Api-Key: [hidden]" in one
    assert "hunter2" not in text
    assert "1 request -" in other
    assert "GET /made (0 bytes, answered 200)" in other
    assert "postback receiver" not in neither
    assert "no requests" in before
    assert "not judged: " in before
    assert "none.toml: cannot be read" in before


def test_differences_of_our_records_are_told_by_field(inner: pytest.Pytester) -> None:
    """And the header says which version this is, and the seed."""
    inner.makepyfile(
        """
        from datetime import UTC, datetime
        from postback_sender import Event

        def test_it():
            left = Event(kind="action_lifecycle", at=datetime.now(UTC), values={"Payout": "1.00", "Status": "PENDING"})
            assert left == Event(kind=left.kind, at=left.at, values={"Payout": "2.00", "Status": "PENDING"})
        """
    )
    result = inner.runpytest_inprocess()

    result.stdout.fnmatch_lines(["postback-kit *: seed 0"])
    result.stdout.fnmatch_lines(["E*two different Events", "E*values[[]'Payout'[]]: '1.00' != '2.00'"])


NOTIFICATION = """
url = "http://127.0.0.1/"
method = "POST"
body = '{"id": "{ActionId}", "status": "{Status}", "payout": "{Payout}"}'
"""

APP = """
    import json
    import pytest

    BOOKS = {}

    async def first_update_wins(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/probe":
            told = BOOKS.get(scope["query_string"].decode().removeprefix("id="))
            answer = {"actions": {told["id"]: {"status": told["status"]}}} if told else {}
            await send({"type": "http.response.start", "status": 200 if told else 404, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        try:
            told = json.loads(body)
            BOOKS.setdefault(told["id"], told)
        except ValueError:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"OK"})
"""

SUITE = f"""{APP}
    from postback_conformance.testing import Hosted, PostbackCase

    @pytest.fixture(scope="session")
    def postback_app():
        return first_update_wins

    @pytest.fixture(scope="session")
    def postback_probe():
        return "/probe"

    @pytest.mark.postback(only="accepts.documented-example")
    def test_accepts(postback_case):
        postback_case()

    @pytest.mark.postback(only=["rejects.malformed-body", "accepts.many-items", "state.reversal"])
    class TestMore:
        def test_it(self, postback_case: PostbackCase):
            postback_case()

    def test_endpoint_only(postback_endpoint: Hosted, postback_sender):
        assert len(postback_sender.send("n.toml", to=postback_endpoint.url, count=1)) == 1
"""


@pytest.fixture
def endpoint(inner: pytest.Pytester) -> pytest.Pytester:
    """A repository with an endpoint that never books a second update, and answers anything with 200."""
    inner.makeini("[pytest]\nfilterwarnings = error\npostback_notification = n.toml\npostback_path = /hook\n")
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile(test_suite=SUITE)
    return inner


def test_a_test_with_the_fixture_is_one_item_for_each_case_of_the_endpoint_suite(endpoint: pytest.Pytester) -> None:
    """It passes, or is told like by `postback conform`; what only SHOULD be, or lacks what it needs, is told, too."""
    result = endpoint.runpytest_inprocess("-rsx", "--postback-seed=7", "--junitxml=report.xml")

    result.assert_outcomes(passed=2, failed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["postback-kit *: seed 7"])
    result.stdout.fnmatch_lines(
        [
            "*test_it[[]state.reversal[]]*",
            "✗ state.reversal  MUST*",
            "  expected status: REVERSED",
            "  do       A reversal has the id of its action*",
            "The story:",
            "  1. *tracked *",
            "  2. *reversed *",
            "curl http://127.0.0.1:*/hook *",
            '*--data-raw*"status": "REVERSED"*',
            "seed 7: run it again with --postback-seed=7",
            "or with --postback-replay=.pytest_cache/d/postback-cases/state.reversal-7.json, or `postback conform *",
        ]
    )
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: *items*"])
    result.stdout.fnmatch_lines(["XFAIL*rejects.malformed-body*SHOULD fail: *"])
    properties = {
        (each.get("name"), each.get("value"))
        for each in ET.parse(endpoint.path / "report.xml").iter("property")  # noqa: S314  ours
    }
    assert properties >= {
        *{("postback_case", "accepts.documented-example"), ("postback_outcome", "pass"), ("postback_seed", "7")},
        *{("postback_case", "state.reversal"), ("postback_level", "MUST"), ("postback_outcome", "fail")},
        *{("postback_outcome", "not_applicable"), ("postback_level", "SHOULD")},
    }

    kept = ".pytest_cache/d/postback-cases/state.reversal-7.json"
    again = endpoint.runpytest_inprocess("-k", "TestMore", f"--postback-replay={kept}")
    again.assert_outcomes(failed=1, deselected=2)
    again.stdout.fnmatch_lines(["*test_it[[]state.reversal[]]*", "seed 7: run it again*"])


@pytest.mark.parametrize("option", ["--postback-fail-on=should", "--postback-strict"])
def test_what_only_should_be_fails_a_test_where_that_is_asked_for(endpoint: pytest.Pytester, option: str) -> None:
    result = endpoint.runpytest_inprocess("-k", "malformed", option)

    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(["*rejects.malformed-body, the request once more:", "curl * http://127.0.0.1:*"])


@pytest.mark.parametrize(
    ("probe", "app", "told"),
    [
        pytest.param("1 / 0", "first_update_wins", "*the probe failed: ZeroDivisionError*", id="probe raises"),
        pytest.param("{}['x']", "'http://127.0.0.1:1/'", "✗ endpoint.answers*MUST*", id="endpoint is down"),
    ],
)
def test_a_case_that_could_not_be_decided_fails(inner: pytest.Pytester, probe: str, app: str, told: str) -> None:
    """As in `postback conform`: a skipped test is green, and nothing was tested."""
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile(f"""{APP}
    @pytest.fixture(scope="session")
    def postback_app():
        return {app}

    @pytest.fixture(scope="session")
    def postback_probe():
        return lambda action_id: {probe}

    @pytest.mark.postback("n.toml", only="state.duplicate")
    def test_it(postback_case):
        postback_case()
    """)
    result = inner.runpytest_inprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([told])


def test_the_endpoint_can_be_restarted_by_a_function_of_the_partner(inner: pytest.Pytester) -> None:
    passed(
        inner,
        f"""{APP}
    import asyncio

    CALLS = []

    @pytest.fixture(scope="session")
    def postback_app():
        return first_update_wins

    @pytest.fixture(scope="session", params=[lambda: CALLS.append(1), lambda: asyncio.sleep(0, CALLS.append(2))])
    def postback_restart(request):
        return request.param

    def test_it(postback_endpoint):
        before = len(CALLS)
        asyncio.run(postback_endpoint.restart())
        assert len(CALLS) == before + 1
        """,
        count=2,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param((), "there is no endpoint to test", id="no endpoint"),
        pytest.param(("--postback-app=http://127.0.0.1:1",), "there is no notification to test with", id="no settings"),
        pytest.param(
            ("--postback-app=http://shop.example/",),
            "unless you allow a host: --postback-allow-host",
            id="beyond this machine",
        ),
        pytest.param(("--postback-app=nowhere:app",), "No module named 'nowhere'", id="no such module"),
        pytest.param(
            ("--postback-app=http://127.0.0.1:1", "--postback-notification=none.toml"),
            "none.toml: cannot",
            id="no file",
        ),
        pytest.param(
            ("--postback-app=http://127.0.0.1:1", "--postback-notification=n.toml", "--postback-probe=probe"),
            """expected a path at the endpoint ("/probe"), a URL, module:function or a function, got 'probe'""",
            id="no such probe",
        ),
        pytest.param(("--postback-app=./serve now",), "where it takes its port: write {port}", id="no port"),
        pytest.param(("--postback-only=accept.*",), "no case is called 'accept.*'", id="no such case"),
        pytest.param(("--postback-replay=none.json",), "none.json: No such file", id="no such case file"),
        pytest.param(("--postback-seed=x",), "expected a whole number of at least 0, got 'x'", id="no such seed"),
        pytest.param(("--postback-max-examples=0",), "of at least 1, got '0'", id="no examples"),
        pytest.param(("--postback-fail-on=may",), "expected must, should, info, got 'may'", id="no such level"),
    ],
)
def test_what_is_missing_or_wrong_is_told_without_a_traceback(
    inner: pytest.Pytester, options: tuple[str, ...], message: str
) -> None:
    inner.makefile(".toml", n=NOTIFICATION)
    inner.makepyfile("def test_it(postback_case): postback_case()")
    result = inner.runpytest_inprocess("--maxfail=1", *options)

    told = result.stdout.str() + result.stderr.str()
    assert result.ret != 0
    assert message in told
    assert "INTERNALERROR" not in told
    assert "Traceback" not in told
    assert not re.search(r"\.py:\d", told)


def test_an_application_is_found_where_pytest_was_started(inner: pytest.Pytester) -> None:
    """Also by `pytest`, which puts nothing on the path, and in a repository with a package called `receiver`."""
    inner.mkpydir("receiver")
    (inner.path / "receiver" / "app.py").write_text(
        "def app(environ, start):\n    start('204 No Content', [])\n    return []\n"
    )
    inner.makepyfile("def test_it(postback_endpoint): assert postback_endpoint.url.endswith('/hook')")
    result = inner.runpytest_inprocess("--postback-app=receiver.app:app", "--postback-path=/hook")

    result.assert_outcomes(passed=1)


def test_unittest_takes_the_fixtures_like_any_others(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        import unittest
        import urllib.request
        import pytest

        class PostbackTest(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def with_receiver(self, postback_receiver):
                self.receiver = postback_receiver

            def test_one_arrives(self):
                urllib.request.urlopen(self.receiver.url, data=b"x").close()
                self.assertEqual(len(self.receiver.wait_for_count(1)), 1)

        class AsynchronousTest(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def with_receiver(self, postback_async_receiver):
                self.receiver = postback_async_receiver

            async def test_none_arrives(self):
                self.assertEqual(await self.receiver.wait_idle(quiet=0.01), [])
        """,
        count=2,
    )


def test_another_process_runs_the_items_and_a_run_that_uses_nothing_of_ours_loads_nothing_of_ours(
    inner: pytest.Pytester,
) -> None:
    """A start of its own: what matters is what a fresh interpreter loads, and what xdist makes of the items."""
    inner.makepyfile(
        test_nothing="""
        import sys

        def test_nothing():
            assert not {name for name in sys.modules if name.startswith("postback_")}
            assert not {"aiohttp", "hypothesis", "msgspec", "rich"} & sys.modules.keys()
        """,
        test_receiver="""
        def test_empty(postback_receiver):
            assert postback_receiver.captures() == []
        """,
    )
    options = ("-n1", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    inner.runpytest_subprocess(*options, timeout=PATIENCE_S).assert_outcomes(passed=2)


def test_every_fixture_is_explained_and_prefixed(inner: pytest.Pytester) -> None:
    listed = inner.runpytest_inprocess("--fixtures", "-p", "no:cacheprovider").stdout.str()
    ours = [line for line in listed.splitlines() if "pytest_postback.py" in line]

    assert {line.split()[0] for line in ours} == {
        *("postback_listen_address", "postback_ssl_context", "postback_receiver", "postback_async_receiver"),
        *("postback_receiver_factory", "postback_sender", "postback_check", "postback_seed", "postback_case"),
        *("postback_app", "postback_path", "postback_notification", "postback_probe", "postback_endpoint"),
        "postback_restart",
    }
    assert "no docstring available" not in listed[listed.index("pytest_postback") :].split("-----")[0]
