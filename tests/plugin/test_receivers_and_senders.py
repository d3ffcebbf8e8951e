"""Receivers and senders as fixtures, and what a failed test shows of them."""

import pytest

pytest_plugins = ["pytester"]


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
