"""What `listen` makes of its settings before anything listens."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from postback_conformance.cli.listen_settings import ListenSettings, ReplyFlags, exposures, why_no_relay
from postback_conformance.cli.worker_link import to_frame
from postback_conformance.receiving.receiver_file import ForwardFile, ReceiverSource, parse_receiver_file
from postback_receiver import Capture

ANYWHERE = "0.0.0.0"  # noqa: S104 -- nothing is bound to it


@pytest.mark.parametrize(
    ("host", "inspect_host", "inspect_port", "flags"),
    [
        ("127.0.0.1", "127.0.0.1", 0, []),
        ("localhost", "::1", 0, []),
        ("127.8.8.8", ANYWHERE, None, []),
        (ANYWHERE, "127.0.0.1", 0, ["--host 0.0.0.0"]),
        ("::", "receiver.example", 0, ["--host ::", "--inspect-host receiver.example"]),
        ("127.0.0.1", ANYWHERE, 0, ["--inspect-host 0.0.0.0"]),
    ],
)
def test_a_port_that_others_can_reach_is_warned_of(
    host: str, inspect_host: str, inspect_port: int | None, flags: list[str]
) -> None:
    settings = new_settings(host=host, inspect_host=inspect_host, inspect_port=inspect_port)
    assert [warning.split(": ")[0] for warning in exposures(settings)] == flags
    assert all("whoever reaches this machine" in warning for warning in exposures(settings))


@pytest.mark.parametrize(
    ("written", "flags", "reason"),
    [
        ("[[endpoint]]\npath = '/a'", None, None),
        ("[[endpoint]]\n[[endpoint.reply]]\nbody = 'OK'", None, None),
        ("[[endpoint]]\n[[endpoint.reply]]\nstatus = 503", None, "endpoint / has replies or a limit of its own"),
        ("[[endpoint]]\n[[endpoint.reply]]\nfault = 'reset'", None, "endpoint / has replies or a limit of its own"),
        ("[[endpoint]]\n[[endpoint.reply]]\nattempts = 1", None, "endpoint / has replies or a limit of its own"),
        ("[[endpoint]]\nmaximum_requests = '5/s'", None, "endpoint / has replies or a limit of its own"),
        ("", ReplyFlags(status=503), "--status, --body, --delay and --fault are about answers of our own"),
    ],
)
def test_what_a_relayed_answer_would_leave_without_effect_is_refused(
    written: str, flags: ReplyFlags | None, reason: str | None
) -> None:
    settings = replace(new_settings(), file=ReceiverSource(name="receiver.toml", folder="/", text=written), reply=flags)
    relay = ForwardFile(to="http://127.0.0.1:1", mode="relay", timeout_ns=1)
    assert why_no_relay(replace(settings, forward=relay)) == reason
    assert why_no_relay(replace(settings, forward=replace(relay, mode="tee"))) is None
    assert why_no_relay(settings) is None


def new_settings(
    *, host: str = "127.0.0.1", inspect_host: str = "127.0.0.1", inspect_port: int | None = None
) -> ListenSettings:
    return ListenSettings(
        host=host,
        port=0,
        inspect_host=inspect_host,
        inspect_port=inspect_port,
        store=Path("captures.sqlite"),
        max_body_bytes=1,
    )


def test_every_receiver_has_a_name_of_its_own_that_its_workers_share() -> None:
    settings = new_settings()
    assert settings.run_name.encode() in to_frame(settings)
    assert settings.run_name != new_settings().run_name


def test_each_worker_has_luck_of_its_own_which_is_the_same_on_every_run() -> None:
    text = "[[endpoint]]\n[[endpoint.reply]]\nfault = { fault = 'reset', probability = 0.5 }"
    [endpoint] = parse_receiver_file(ReceiverSource(name="receiver.toml", folder="/", text=text)).endpoints

    def luck(worker: int) -> list[str | None]:
        replies = endpoint.new_endpoint(worker=worker).replies
        return [replies(arrived(event)).fault for event in range(16) for _ in range(2)]

    assert luck(1) == luck(1)
    assert len({tuple(luck(worker)) for worker in range(4)}) == 4


def arrived(event: int) -> Capture:
    return Capture(
        id="a",
        endpoint="/",
        received_at_ns=0,
        connection="c1",
        connection_request=1,
        remote="",
        http_version="1.1",
        method="POST",
        target=f"/?event={event}",
        headers=(),
        body=b"",
    )
