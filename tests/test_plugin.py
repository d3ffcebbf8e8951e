"""The pytest plugin, in a pytest of its own."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A pytest process as a partner has it: the plugin found by its entry point, every warning an error."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def passed(inner: pytest.Pytester, source: str, count: int = 1, *options: str) -> None:
    inner.makepyfile(source)
    inner.runpytest_subprocess(*options).assert_outcomes(passed=count)


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
    result = inner.runpytest_subprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Waited 0.1 s for 2 requests; 1 arrived:", "*POST /only-one (1 bytes, answered 200)"])


def test_every_fixture_is_explained_and_prefixed(inner: pytest.Pytester) -> None:
    listed = inner.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider").stdout.str()
    ours = [line for line in listed.splitlines() if "pytest_postback.py" in line]

    assert {line.split()[0] for line in ours} == {
        *("postback_listen_address", "postback_ssl_context", "postback_receiver", "postback_async_receiver"),
        *("postback_receiver_factory", "postback_sender"),
    }
    assert "no docstring available" not in listed[listed.index("pytest_postback") :].split("-----")[0]
