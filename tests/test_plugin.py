"""The pytest plugin, in a pytest of its own."""

import pytest

from fork_server import PATIENCE_S

pytest_plugins = ["pytester"]


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A pytest process as a partner has it: the plugin found by its entry point, every warning an error."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def passed(inner: pytest.Pytester, source: str, count: int = 1, *options: str) -> None:
    inner.makepyfile(source)
    inner.runpytest_subprocess(*options, timeout=PATIENCE_S).assert_outcomes(passed=count)


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
    result = inner.runpytest_subprocess(timeout=PATIENCE_S)

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
        """
    )
    result = inner.runpytest_subprocess(timeout=PATIENCE_S)

    result.assert_outcomes(failed=3)
    text = result.stdout.str()
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


SUITE = """
    import pytest

    async def good(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        more = True
        while more:
            more = (await receive())["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"OK"})

    @pytest.fixture(scope="session")
    def postback_app():
        return good

    @pytest.mark.postback(only="accepts.documented-example")
    def test_accepts(postback_case):
        postback_case()

    @pytest.mark.postback(only=["rejects.malformed-body", "accepts.many-items"])
    def test_more(postback_case):
        postback_case()

    def test_endpoint_only(postback_endpoint, postback_sender):
        assert len(postback_sender.send("n.toml", to=postback_endpoint.url, count=1)) == 1
"""


def test_a_test_with_the_fixture_is_one_item_for_each_case_of_the_endpoint_suite(inner: pytest.Pytester) -> None:
    """It passes, fails with what to do and a seed, or is skipped with the reason; JUnit has the properties."""
    inner.makeini("[pytest]\nfilterwarnings = error\npostback_notification = n.toml\npostback_path = /hook\n")
    inner.makefile(".toml", n="url = 'http://127.0.0.1/'\nmethod = 'POST'\nbody = '{\"id\": \"{ActionId}\"}'\n")
    inner.makepyfile(SUITE)
    result = inner.runpytest_subprocess(
        "-rs", "--postback-seed=7", "--postback-fail-on=should", "--junitxml=report.xml", timeout=PATIENCE_S
    )

    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["postback-kit *: seed 7"])
    result.stdout.fnmatch_lines(["*test_more[[]rejects.malformed-body[]]*"])
    result.stdout.fnmatch_lines(["*rejects.malformed-body*SHOULD*", "*seed 7: run it again with --postback-seed=7*"])
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: *items*"])
    properties = (inner.path / "report.xml").read_text()
    assert '<property name="postback_case" value="accepts.documented-example"' in properties
    assert '<property name="postback_seed" value="7"' in properties

    (kept,) = (inner.path / ".pytest_cache/d/postback-cases").iterdir()
    result.stdout.fnmatch_lines([f"or with --postback-replay={kept}*"])
    again = inner.runpytest_inprocess("-k", "test_more", "--postback-fail-on=should", f"--postback-replay={kept}")
    again.assert_outcomes(failed=1, deselected=2)
    again.stdout.fnmatch_lines(["*test_more[[]rejects.malformed-body[]]*", "seed 7: run it again*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param((), "there is no endpoint to test", id="no endpoint"),
        pytest.param(("--postback-app=http://127.0.0.1:1",), "there is no notification to test with", id="no settings"),
        pytest.param(("--postback-only=accept.*",), "no case is called 'accept.*'", id="no such case"),
        pytest.param(("--postback-replay=none.json",), "none.json: No such file", id="no such file"),
        pytest.param(("--postback-seed=x",), "expected a whole number, got 'x'", id="no such seed"),
    ],
)
def test_what_is_missing_or_wrong_is_told(inner: pytest.Pytester, options: tuple[str, ...], message: str) -> None:
    inner.makepyfile("def test_it(postback_case): postback_case()")
    result = inner.runpytest_inprocess("--maxfail=1", *options)

    told = result.stdout.str() + result.stderr.str()
    assert result.ret != 0
    assert message in told
    assert "INTERNALERROR" not in told


def test_a_run_that_uses_nothing_of_ours_loads_nothing_of_ours(inner: pytest.Pytester) -> None:
    passed(
        inner,
        """
        import sys

        def test_nothing():
            assert not {name for name in sys.modules if name.startswith("postback_")}
            assert not {"aiohttp", "hypothesis", "msgspec", "rich"} & sys.modules.keys()
        """,
    )


def test_every_fixture_is_explained_and_prefixed(inner: pytest.Pytester) -> None:
    listed = inner.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider", timeout=PATIENCE_S).stdout.str()
    ours = [line for line in listed.splitlines() if "pytest_postback.py" in line]

    assert {line.split()[0] for line in ours} == {
        *("postback_listen_address", "postback_ssl_context", "postback_receiver", "postback_async_receiver"),
        *("postback_receiver_factory", "postback_sender", "postback_check", "postback_seed", "postback_case"),
        *("postback_app", "postback_path", "postback_notification", "postback_probe", "postback_endpoint"),
    }
    assert "no docstring available" not in listed[listed.index("pytest_postback") :].split("-----")[0]
