"""A `receiver.toml` is read strictly, says what it says, and answers as it says."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postback_conformance.cli.listen_flags import forward_of
from postback_conformance.errors import ReceiverFileError
from postback_conformance.receiving.fault_text import parse_fault
from postback_conformance.receiving.receiver_file import (
    ForwardFile,
    ReceiverFile,
    ReceiverSource,
    TlsFile,
    load_receiver_file,
    parse_receiver_file,
)
from postback_conformance.receiving.reply_tables import ReplyFile
from postback_receiver import (
    Capture,
    Fault,
    RandomDelay,
    Reply,
    accepted_then_lost,
    bad_chunk,
    close,
    down,
    dribble,
    garbage,
    never_answer,
    reset,
    slow_headers,
    wrong_content_length,
)
from postback_receiver.retention import Retention
from postback_sender.quantities import Rate

NOTIFICATION = r"""
url = "http://127.0.0.1:8080/postback?click={RefClickId}"
method = "POST"
body = '\{"action": "{ActionId}", "status": "{Status}"\}'
success_response = "OK"
error_response = "ERR"
"""

EVERYTHING = """
host = "127.0.0.1"
port = 0
store = "captures.sqlite"
durability = "power"
max_body = "64KiB"
workers = 2
inspector_port = 0
seed = 7

[retention]
age = "2d"
count = 1000
bytes = "1GiB"

[tls]
generated = true
fault = "expired"

[forward]
to = "http://127.0.0.1:9000"
mode = "relay"
timeout = "5s"
allow = ["staging.example"]

[[endpoint]]
path = "/postback"
notification = "notification.toml"
key = "action"
end = "cycle"
maximum_requests = "5/s"

[[endpoint.reply]]
use = "error"
delay = { least = "100ms", most = "2s" }

[[endpoint.reply]]
status = 202
headers = { X-Seen = "1" }
body_file = "answer.txt"
faults = ["slow-headers 2s", { fault = "dribble 1 byte per 100ms", probability = 0.5 }]

[[endpoint.reply]]
status = 503
when = ["method=PUT", "body~REVERSED"]
attempts = "1-2"
fault = { fault = "reset", probability = 0.1, seed = 3 }

[[endpoint]]
path = "/other"
"""


def read(text: str) -> ReceiverFile:
    """What a text means that refers to no file."""
    return parse_receiver_file(ReceiverSource(name="receiver.toml", folder="/etc/postback", text=text))


@pytest.fixture
def everything(tmp_path: Path) -> ReceiverFile:
    (tmp_path / "notification.toml").write_text(NOTIFICATION, "utf-8")
    (tmp_path / "answer.txt").write_bytes(b"thank you\r\n")
    (tmp_path / "receiver.toml").write_text(EVERYTHING, "utf-8")
    return load_receiver_file(tmp_path / "receiver.toml")


def test_every_setting_is_read_in_plain_units(everything: ReceiverFile, tmp_path: Path) -> None:
    assert (everything.host, everything.port, everything.workers, everything.inspector_port) == ("127.0.0.1", 0, 2, 0)
    assert everything.store == tmp_path / "captures.sqlite"
    assert (everything.durability, everything.max_body_bytes, everything.seed) == ("power", 65_536, 7)
    day_ns = 86_400 * 1_000_000_000
    assert everything.retention == Retention(max_age_ns=2 * day_ns, max_captures=1000, max_bytes=1 << 30)
    assert everything.tls == TlsFile(generated=True, fault="expired")
    assert everything.forward == ForwardFile(
        to="http://127.0.0.1:9000", mode="relay", timeout_ns=5_000_000_000, allow=("staging.example",)
    )
    endpoint, other = everything.endpoints
    assert (endpoint.path, endpoint.key, endpoint.end) == ("/postback", "action", "cycle")
    assert endpoint.maximum_requests == Rate(count=5)
    error, slow = endpoint.replies
    assert error == Reply(body=b"ERR", delay=RandomDelay(0.1, 2, seed=7))
    assert (slow.status, slow.headers, slow.body) == (202, (("X-Seen", "1"),), b"thank you\r\n")
    assert [(fault.label, fault.probability, fault.seed) for fault in slow.faults] == [
        ("slow-headers 2s", 1.0, 7),
        ("dribble 1 byte per 100ms", 0.5, 7),
    ]
    [case] = endpoint.cases
    assert case.attempts == (1, 2)
    assert [(fault.label, fault.probability, fault.seed) for fault in case.reply.faults] == [("reset", 0.1, 3)]
    assert (other.path, other.key, other.replies) == ("/other", "event", (Reply(),))


def test_an_empty_file_leaves_everything_to_the_flags() -> None:
    file = read("")
    assert (file.host, file.port, file.store, file.workers, file.tls, file.forward) == (None,) * 6
    assert [endpoint.path for endpoint in file.endpoints] == ["/"]


def test_the_source_travels_to_another_process_and_means_the_same(everything: ReceiverFile) -> None:
    there = msgspec.json.decode(msgspec.json.encode(everything.source), type=ReceiverSource)
    assert [endpoint.replies for endpoint in parse_receiver_file(there).endpoints] == [
        endpoint.replies for endpoint in everything.endpoints
    ]


def test_an_endpoint_answers_as_it_is_written(
    everything: ReceiverFile, posted: Callable[[str, bytes], Capture]
) -> None:
    endpoint = everything.endpoints[0].new_endpoint()
    assert endpoint.settings is not None
    now_ns = 0

    def answered(body: str, method: str = "POST") -> tuple[int, bytes]:
        nonlocal now_ns
        now_ns += 1_000_000_000
        capture = msgspec.structs.replace(
            posted("/postback?click=1", body.encode()), method=method, body_done_ns=now_ns
        )
        reply = endpoint.replies(capture)
        return reply.status, reply.body

    one, two = '{"action": "1", "status": "PENDING"}', '{"action": "2", "status": "PENDING"}'
    moved = '{"action": "1", "status": "REVERSED"}'
    error, slow = (200, b"ERR"), (202, b"thank you\r\n")
    # One action walks the sequence, whatever its requests say; another one starts it.
    assert [answered(body) for body in (one, moved, two, one)] == [error, slow, error, error]
    # A case is for the first attempts of what it matches only.
    three = '{"action": "3", "status": "REVERSED"}'
    assert [answered(three, "PUT") for _ in range(4)] == [(503, b""), (503, b""), error, slow]
    # A new one remembers nothing.
    assert everything.endpoints[0].new_endpoint().replies(posted("/postback?click=1", one.encode())).body == b"ERR"


def test_the_limit_of_an_endpoint_is_enforced(posted: Callable[[str, bytes], Capture]) -> None:
    file = read('[[endpoint]]\nmaximum_requests = "2/m"')
    replies = file.endpoints[0].new_endpoint().replies
    assert [replies(posted("/", b"")).status for _ in range(3)] == [200, 200, 429]


REPLY = "[[endpoint]]\n[[endpoint.reply]]\n"
IN_REPLY = "endpoint 1.reply 1."


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "receiver.toml, line 1: unknown key 'prot'; did you mean \"port\"?"),
        ("port = 70000", "line 1: port: expected whole number <= 65535"),
        ('durability = "powr"', 'line 1: durability: expected one of "process", "power", got "powr"; did'),
        ('max_body = "1MB"', "line 1: max_body: expected a size"),
        ("[retention]\nage = 0", "line 2: retention.age: expected more than 0"),
        ("[retention]\nsize = 1", "line 2: unknown key 'retention.size'"),
        ("[tls]\nclient_ca = 'ca.pem'", "line 1: tls: expected either a certificate or generated = true"),
        ("[tls]\ncertificate = 'a.pem'\nfault = 'expired'", "line 3: tls.fault: goes with generated = true only"),
        ("[tls]\ngenerated = true\nkey = 'a.pem'", "line 3: tls.key: goes with a certificate only"),
        ("[tls]\ngenerated = true\nfault = 'old'", 'tls.fault: expected one of "expired"'),
        ("[forward]\nmode = 'tee'", "missing required field to"),
        ("[[endpoint]]\npath = 'x'", "line 2: endpoint 1.path: expected a path that starts with /"),
        ("[[endpoint]]\n[[endpoint]]\npath = '/'", "line 3: endpoint 2.path: another endpoint has the path '/'"),
        ("[endpoint]", "line 1: endpoint: expected a list of tables, got one table; write [[endpoint]]"),
        ("[[endpoint]]\n[endpoint.reply]", "endpoint 1.reply: expected a list of tables, got one table; write [[end"),
        ("[[endpoint]]\nkey = 'evnt'", 'did you mean "event"?'),
        ("[[endpoint]]\nmaximum_requests = 'fast'", "line 2: endpoint 1.maximum_requests: expected a rate"),
        ("[[endpoint]]\nnotification = 'n.toml'", "line 2: endpoint 1.notification: no file 'n.toml' beside"),
        ("[[endpoint]]\n" + REPLY + "stauts = 1", "line 4: unknown key 'endpoint 2.reply 1.stauts'"),
        (REPLY + "status = 99", "line 3: " + IN_REPLY + "status: a reply's status is"),
        (REPLY + 'headers = { X = "a\\nb" }', "line 3: " + IN_REPLY + "headers: a reply's"),
        (REPLY + "use = 'success'", "line 3: " + IN_REPLY + "use: this endpoint has no"),
        (REPLY + "use = 'error'\nbody = 'x'", "line 4: " + IN_REPLY + "body: use is set"),
        (REPLY + "delay = '2 parsecs'", "line 3: " + IN_REPLY + "delay: expected a duration"),
        (REPLY + "delay = { least = 2, most = 1 }", "delay: a random delay is from less to more"),
        (REPLY + "delay = '30d'", "line 3: " + IN_REPLY + "delay: a reply's delay: expected"),
        (REPLY + "fault = 'rest'", "got 'rest'; did you mean \"reset\"?"),
        (REPLY + "fault = 'down'", "line 3: " + IN_REPLY + "fault: expected down 5s, got"),
        (REPLY + "faults = ['reset', 'close']", '"reset" and "close" exclude each other'),
        (REPLY + "fault = { fault = 'reset', probability = 2 }", "from 0 to 1, got 2"),
        (REPLY + "fault = { falt = 'reset' }", 'did you mean "fault"?'),
        (REPLY + "fault = 'reset'\nfaults = []", "line 3: " + IN_REPLY + "fault: faults is"),
        (REPLY + "when = 'metod=GET'", "line 3: " + IN_REPLY + "when: filter, column 1"),
        (REPLY + "attempts = '2-1'", "line 3: " + IN_REPLY + "attempts: expected attempts"),
        ("[[endpoint]", "receiver.toml: not valid TOML"),
    ],
)
def test_a_slip_is_told_with_its_place_and_what_was_expected(text: str, complaint: str) -> None:
    with pytest.raises(ReceiverFileError, match=re.escape(complaint)):
        read(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[[endpoint]]\nnotification = '../n.toml'",
            "line 2: endpoint 1.notification: expected a file in the folder of",
        ),
        (REPLY + "body_file = '/etc/passwd'", "line 3: " + IN_REPLY + "body_file: expected a"),
        (REPLY + "body_file = 'gone'", "receiver.toml, line 3: " + IN_REPLY + "body_file: "),
        (REPLY + "body_file = 'gone'", "gone: cannot be read: No such file"),
        ("[[endpoint]]\nnotification = 'n.toml'", "receiver.toml, line 2: endpoint 1.notification: "),
        (None, "receiver.toml: cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_had_is_named(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "receiver.toml").write_text(text, "utf-8")
    with pytest.raises(ReceiverFileError, match=re.escape(complaint)):
        load_receiver_file(tmp_path / "receiver.toml")


def test_a_host_beyond_this_machine_is_refused_with_its_place_unless_it_is_allowed() -> None:
    file = read("[forward]\nto = 'http://away.example/p'")
    with pytest.raises(ReceiverFileError, match=r"receiver.toml, line 2: forward.to: the target host away.example is"):
        forward_of(None, None, None, (), file)
    allowed = forward_of(None, None, None, ["away.example"], file)
    assert allowed is not None
    assert allowed.allow == ("away.example",)


PAGE = Path(__file__).parents[2] / "docs/receiver.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_settings_on_the_page_are_settings(block: str) -> None:
    for endpoint in read(block).endpoints:
        endpoint.new_endpoint()


def test_the_page_names_every_key_of_a_reply_and_every_fault() -> None:
    faults = (never_answer(), slow_headers(2), dribble(every=0.1), close(), close("after-headers"), close("mid-body"))
    others = (reset("mid-body"), accepted_then_lost(), wrong_content_length(10), bad_chunk(), garbage(100), down(5))
    names = {*ReplyFile.__struct_fields__, *(fault.label for fault in (*faults, *others))}
    page = PAGE.read_text("utf-8")
    assert {name for name in names if f"`{name}`" not in page} == set()


# Faults as text.

PLACES = st.sampled_from(["start", "after-headers", "mid-body"])
SECONDS = st.integers(1, 86_400_000).map(lambda ms: ms / 1000)
COUNTS = st.integers(1, 10**6)
FAULTS = st.one_of(
    st.sampled_from([never_answer(), accepted_then_lost(), bad_chunk(), garbage()]),
    st.builds(slow_headers, SECONDS),
    st.builds(dribble, COUNTS, every=SECONDS),
    st.builds(close, PLACES),
    st.builds(reset, PLACES),
    st.builds(wrong_content_length, COUNTS | COUNTS.map(lambda by: -by)),
    st.builds(garbage, COUNTS),
    st.builds(down, SECONDS),
)


@given(fault=FAULTS)
@settings(max_examples=30)
def test_what_a_capture_says_of_a_fault_can_be_written_into_the_settings(fault: Fault) -> None:
    assert parse_fault(fault.label) == fault
