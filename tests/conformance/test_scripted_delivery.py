"""The real sender meets answers that a `receiver.toml` scripts, each event its own."""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from postback_conformance.driving import EventSender
from postback_conformance.receiving.receiver_file import load_receiver_file
from postback_receiver import Receiver
from postback_sender import Notification, example_event
from postback_sender.delivery.policy import Delivered

NOTIFICATION = r"""
url = "http://127.0.0.1/postback?click={RefClickId}"
method = "POST"
body = '\{"action": "{ActionId}"\}'
success_response = "OK"
retry = [0.001, 0.001, 0.001]
minimum_delay = 0
"""

RECEIVER = """
[[endpoint]]
path = "/postback"
notification = "n.toml"

[[endpoint.reply]]
use = "success"
fault = "accepted-then-lost"

[[endpoint.reply]]
use = "error"
delay = "1ms"

[[endpoint.reply]]
use = "success"
"""


def test_what_is_accepted_and_lost_comes_again_and_every_event_walks_through_the_script(
    tmp_path: Path, read_settings: Callable[[str], Notification]
) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    (tmp_path / "receiver.toml").write_text(RECEIVER)
    file = load_receiver_file(tmp_path / "receiver.toml")
    example = example_event("action_lifecycle")
    names = ["one", "two", "three"]
    events = [replace(example, values={**example.values, "ActionId": name}) for name in names]

    with Receiver(endpoints=[endpoint.new_endpoint() for endpoint in file.endpoints]) as receiver:
        deliveries = EventSender().send(read_settings(NOTIFICATION), to=receiver.url, events=events, timeout_s=30)
        captures = receiver.captures()

    assert [type(delivery.outcome) for delivery in deliveries] == [Delivered] * 3
    for name in names:
        mine = [capture for capture in captures if capture.body == b'{"action": "%b"}' % name.encode()]
        assert len({capture.target for capture in mine}) == 1
        # Recorded with the answer that it was to get, and that never left.
        assert [
            (capture.fault, capture.answer and (capture.answer.status, capture.answer.sent_ns is not None))
            for capture in mine
        ] == [("accepted-then-lost", (200, False)), ("delay 1ms", (503, True)), (None, (200, True))]
