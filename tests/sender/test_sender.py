"""The sender over real sockets: what leaves, and what it makes of the answers."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pytest

from hasty_loop import let_pass, run_hastily
from kept_port import kept_port
from postback_sender import Event, Sender, TargetError
from postback_sender.delivery.policy import Delivered, GiveUp
from postback_sender.delivery.retry import Failure
from sender_endpoint import BUSY, OK, answering, deliveries, event, failures, run, settings, settings_to


async def no_such_host(host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(f"no such host: {host}")


def test_a_get_carries_just_the_headers_seen_in_production() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            [delivery] = await deliveries(Sender(settings(server.port)), event("7"))
            [request] = server.requests
        assert (
            request
            == (
                f"GET /7 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                "User-Agent: Impact-Postback-Client/1.0\r\nAccept-Encoding: gzip, br\r\n\r\n"
            ).encode()
        )
        assert delivery.outcome == Delivered()

    run(main)


def test_a_post_carries_body_and_headers_as_configured() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            text = 'body = \'{"id": "{ActionId}"}\'\n[headers]\nX-api-KEY = "k"'
            await deliveries(Sender(settings(server.port, text)), event("7"))
            [request] = server.requests
        assert request.startswith(b"POST /7 HTTP/1.1\r\n")
        assert b"\r\nContent-Type: application/json\r\nX-api-KEY: k\r\n" in request
        assert request.endswith(b'\r\n\r\n{"id": "7"}')

    run(main)


def test_a_failed_attempt_is_repeated_byte_for_byte_until_it_succeeds() -> None:
    async def main() -> None:
        async with answering(BUSY, BUSY, OK) as server:
            [delivery] = await deliveries(Sender(settings(server.port, "retry = [0.01, 0.01]")), event())
        assert failures(delivery) == [Failure.ANSWER, Failure.ANSWER, None]
        assert [attempt.number for attempt in delivery.attempts] == [1, 2, 3]
        assert len(set(server.requests)) == 1

    run(main)


def test_success_can_be_a_matter_of_the_answers_text() -> None:
    async def main() -> None:
        text = 'retry = "none"\nsuccess_response = "DONE"'
        async with answering(OK) as server:
            [delivery] = await deliveries(Sender(settings(server.port, text)), event())
        assert failures(delivery) == [Failure.ANSWER]
        assert isinstance(delivery.outcome, GiveUp)

    run(main)


@pytest.mark.parametrize(
    ("answer", "failure", "status"),
    [
        pytest.param(b"", Failure.CONNECTION, None, id="cut before the answer"),
        pytest.param(b"nonsense\r\n\r\n", Failure.BROKEN_ANSWER, None, id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", Failure.TIMEOUT, 200, id="body never ends"),
        pytest.param(None, Failure.TIMEOUT, None, id="silence"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Failure.BROKEN_ANSWER,
            200,
            id="bad chunk",
        ),
    ],
)
def test_what_is_no_answer_has_a_name(answer: bytes | None, failure: Failure, status: int | None) -> None:
    async def main() -> None:
        async with answering(answer) as server:
            # The time is over once the endpoint has got the request, or the sender what there is of an answer.
            if failure is Failure.TIMEOUT and answer is None:
                server.on_request = partial(let_pass, 3600)
            elif failure is Failure.TIMEOUT:
                server.on_answer = partial(let_pass, 3600)
            [delivery] = await deliveries(Sender(settings(server.port, 'retry = "none"\ntimeout = 3600')), event())
        assert failures(delivery) == [failure]
        assert delivery.attempts[0].status == status

    run_hastily(main())


def test_a_refused_connection_is_retried_as_the_profile_says() -> None:
    async def main() -> None:
        with kept_port() as port:
            [delivery] = await deliveries(Sender(settings(port, "retry = [0.01]")), event())
        assert failures(delivery) == [Failure.CONNECTION, Failure.CONNECTION]

    run(main)


def test_a_host_that_does_not_exist_is_not_tried_again_by_the_help_centre_profile() -> None:
    async def main() -> None:
        sender = Sender(settings_to("http://nowhere.invalid"), allowed_hosts=["nowhere.invalid"], resolve=no_such_host)
        [delivery] = await deliveries(sender, event())
        assert failures(delivery) == [Failure.HOST_NOT_FOUND]

    run(main)


def test_redirects_are_reported_and_not_followed() -> None:
    async def main() -> None:
        async with answering(OK) as elsewhere:
            answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n".encode()
            async with answering(answer) as server:
                [delivery] = await deliveries(Sender(settings(server.port, 'retry = "none"')), event())
            assert elsewhere.requests == []
        assert delivery.attempts[0].status == 302
        assert "not followed" in delivery.attempts[0].detail

    run(main)


def test_a_broken_kept_alive_connection_leads_to_no_hidden_second_send() -> None:
    async def main() -> None:
        # HTTP clients repeat a GET by themselves when a reused connection breaks; the log would show one for two.
        async with answering(OK, b"", OK) as server:
            sender = Sender(settings(server.port, 'retry = "none"'), concurrency=1)
            first, second = await deliveries(sender, event("1"), event("2"))
        assert len(server.requests) == 2
        assert {tuple(failures(first)), tuple(failures(second))} == {(None,), (Failure.CONNECTION,)}

    run(main)


def test_nothing_leaves_when_one_target_of_a_batch_is_not_allowed() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            with pytest.raises(TargetError, match=r"example\.com"):
                await deliveries(Sender(settings_to("http://{Text1}{ActionId}.example.com")), event())
            assert server.requests == []

    run(main)


def test_events_of_one_action_keep_their_order_even_when_the_first_is_retried() -> None:
    async def main() -> None:
        async with answering(BUSY, OK) as server:
            text = "body = '{Text1}'\nretry = [0.05]"
            events = [
                Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": "1", "Text1": name})
                for name in ("first", "second", "third")
            ]
            await deliveries(Sender(settings(server.port, text)), *events)
        assert [request.rpartition(b"\r\n")[2].strip(b'"') for request in server.requests] == [
            *(b"first", b"first", b"second", b"third")
        ]

    run(main)


def test_a_header_of_the_partner_replaces_ours() -> None:
    async def main() -> None:
        async with answering(OK) as server:
            text = 'body = \'x\'\n[headers]\ncontent-type = "text/xml"\nUser-Agent = "mine"'
            await deliveries(Sender(settings(server.port, text)), event())
            [request] = server.requests
        assert request.lower().count(b"content-type:") == request.lower().count(b"user-agent:") == 1
        assert b"content-type: text/xml\r\nUser-Agent: mine\r\n" in request

    run(main)


def test_a_sender_outside_its_block_says_how_to_use_it() -> None:
    async def main() -> None:
        sender = Sender(settings_to("http://127.0.0.1:1"))
        with pytest.raises(RuntimeError, match="async with"):
            async for _ in sender.send([event()]):
                pass

    run(main)
