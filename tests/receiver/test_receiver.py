"""The receiver for callers that are not asynchronous."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path

import pytest

from postback_receiver import Endpoint, ListenError, Receiver, Reply, SqliteStore, WaitTimeout, always

Exchange = Callable[[int, bytes], tuple[HTTPResponse, bytes]]


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def test_captures_are_there_when_the_answer_is(receiver: Receiver, exchange: Exchange) -> None:
    exchange(receiver.port, get("/a"))
    exchange(receiver.port, get("/b"))
    assert [capture.target for capture in receiver.captures()] == ["/a", "/b"]
    assert receiver.url == f"http://127.0.0.1:{receiver.port}"


def test_captures_can_be_read_after_the_block(exchange: Exchange) -> None:
    with Receiver() as receiver:
        exchange(receiver.port, get("/a"))
    assert [capture.target for capture in receiver.captures()] == ["/a"]


def test_waiting_ends_with_the_request_that_makes_the_count_full(receiver: Receiver, exchange: Exchange) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(receiver.wait_for_count, 3, timeout=10)
        for target in ["/a", "/b", "/c"]:
            assert not waiting.done()
            exchange(receiver.port, get(target))
        assert [capture.target for capture in waiting.result()] == ["/a", "/b", "/c"]


def test_waiting_in_vain_is_a_failed_test_that_lists_what_arrived(receiver: Receiver, exchange: Exchange) -> None:
    exchange(receiver.port, get("/a?x=1"))
    with pytest.raises(WaitTimeout) as caught:
        receiver.wait_for_count(2, timeout=0.01)
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == ("Waited 0.01 s for 2 requests; 1 arrived:\n  GET /a?x=1 (0 bytes, answered 200)")


def test_a_long_list_of_arrivals_shows_the_latest() -> None:
    message = str(WaitTimeout(wanted="30 requests", timeout_s=5, arrived=[f"GET /{n}" for n in range(25)]))
    assert message.splitlines()[:3] == ["Waited 5 s for 30 requests; 25 arrived:", "  … 5 earlier ones", "  GET /5"]
    assert message.endswith("GET /24")


def test_replies_can_be_changed_while_it_runs(receiver: Receiver, exchange: Exchange) -> None:
    statuses = [exchange(receiver.port, get("/a"))[0].status]
    receiver.reply(Reply(status=418))
    statuses.append(exchange(receiver.port, get("/a"))[0].status)
    assert statuses == [200, 418]


def test_a_sequence_goes_on_with_each_resend_of_the_same_request(receiver: Receiver, exchange: Exchange) -> None:
    receiver.reply(Reply(status=503), Reply(status=200))
    targets = ["/a", "/b", "/a", "/b"]
    assert [exchange(receiver.port, get(target))[0].status for target in targets] == [503, 503, 200, 200]


def test_a_sequence_can_have_a_key_and_an_end_of_its_own(receiver: Receiver, exchange: Exchange) -> None:
    receiver.reply(Reply(status=503), Reply(status=200), key=lambda capture: capture.path, end="cycle")
    targets = ["/a?1", "/a?2", "/a?3"]
    assert [exchange(receiver.port, get(target))[0].status for target in targets] == [503, 200, 503]


def test_endpoints_are_answered_for_one_by_one(exchange: Exchange) -> None:
    endpoints = [Endpoint(prefix="/a", replies=always(Reply(status=201))), Endpoint(prefix="/b")]
    with Receiver(endpoints=endpoints) as receiver:
        receiver.reply(Reply(status=202), endpoint="/b")
        assert [exchange(receiver.port, get(target))[0].status for target in ["/a", "/b"]] == [201, 202]
        with pytest.raises(ValueError, match="no endpoint '/c'; there are: /a, /b"):
            receiver.reply(Reply(), endpoint="/c")


def test_a_store_of_the_callers_is_used_and_left_open(exchange: Exchange, tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "captures.db")) as store:
        for target in ["/a", "/b"]:
            with Receiver(store=store) as receiver:
                exchange(receiver.port, get(target))
        assert [capture.target for capture in store.captures()] == ["/a", "/b"]


def test_a_port_in_use_is_told_to_the_caller(receiver: Receiver) -> None:
    with pytest.raises(ListenError, match="already in use"), Receiver(port=receiver.port):
        pass
