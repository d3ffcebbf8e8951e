"""`send`, `lint`: from settings to requests."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from command_line import COMMAND, PATIENCE_S, Run, Start, environment
from postback_conformance.cli.application import application
from postback_conformance.rules.examples import capture
from postback_receiver import Receiver, Reply, capture_to_line
from postback_sender.event import encode_event, example_event
from postback_sender.tokens import EVENT_KINDS, EventKind

NOTIFICATION = """
url = "http://127.0.0.1:1/postback?id={ActionId}&token=${TOKEN}"
method = "POST"
body_format = "json"
body = '{"id": "{ActionId}", "payout": "{Payout}", "status": "{Status}"}'
retry = [0.05]
[headers]
X-Api-Key = "${KEY}"
"""
SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"
SECRETS = {"TOKEN": "hunter2", "KEY": "swordfish"}


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text(NOTIFICATION)
    return path


def test_generated_events_are_sent_the_same_again_for_the_same_seed(run: Run, notification: Path) -> None:
    bodies: list[list[bytes]] = []
    for is_fresh in (False, True):
        with Receiver() as receiver:
            # One of them hashes differently than the other.
            generated = ("--count", 3, "--seed", 7, "--time-scale", 1000)
            outcome = run("send", notification, "--to", receiver.url, *generated, env=SECRETS, fresh=is_fresh)
            bodies.append(sorted(capture.body for capture in receiver.captures()))
        assert outcome.code == 0
        assert "seed 7" in outcome.err
        assert "3 of 3 delivered" in outcome.err
        assert "hunter2" not in outcome.text
    # Everything but the dates, which are now.
    assert bodies[0] == bodies[1]


def test_the_seed_is_printed_when_it_is_not_given(run: Run, notification: Path) -> None:
    with Receiver() as receiver:
        outcome = run("send", notification, "--to", receiver.url, "--count", 1, env=SECRETS)

    assert "seed " in outcome.err
    assert "--seed" in outcome.err


def test_events_come_from_a_file_or_from_stdin(run: Run, notification: Path, tmp_path: Path) -> None:
    lines = encode_event(example_event("action_lifecycle"))
    (tmp_path / "events.ndjson").write_bytes(lines)
    with Receiver() as receiver:
        assert run("send", notification, "--to", receiver.url, "--events", "events.ndjson", env=SECRETS).code == 0
        assert run("send", notification, "--to", receiver.url, "--events", "-", stdin=lines, env=SECRETS).code == 0
        first, second = receiver.captures()

    assert first.body == second.body
    assert first.header("X-Api-Key") == ("swordfish",)


def test_an_undelivered_event_is_exit_code_1_with_the_reason(run: Run, notification: Path) -> None:
    with Receiver() as receiver:
        receiver.reply(Reply(status=503))
        outcome = run(
            "send", notification, "--to", receiver.url, "--count", 1, "--seed", 1, "--format", "json", env=SECRETS
        )

    assert outcome.code == 1
    assert "0 of 1 delivered" in outcome.err
    [line] = outcome.out.splitlines()
    delivery = json.loads(line)
    assert delivery["outcome"] == "given up"
    assert [attempt["status"] for attempt in delivery["attempts"]] == [503, 503]
    assert "hunter2" not in line


def test_ctrl_c_finishes_what_is_in_flight_and_says_what_was_not_sent(start: Start, notification: Path) -> None:
    slow = NOTIFICATION.replace(
        "retry = [0.05]", 'retry = [0.05]\nmaximum_requests = "2/m"\nmaximum_requests_scope = "all"'
    )
    notification.write_text(slow)
    with Receiver() as receiver:
        process = start("send", notification, "--to", receiver.url, "--count", 50, "--seed", 1, env=SECRETS)
        receiver.wait_for_count(1, timeout=PATIENCE_S)
        outcome = process.end(signal.SIGINT)
        arrived = len(receiver.captures())

    assert outcome.code == 130
    assert f"{arrived} of " in outcome.err
    assert "because you stopped it" in outcome.err
    assert 1 <= arrived < 25


def test_a_second_signal_cuts_what_is_in_flight_and_the_log_says_so(run: Run, start: Start, notification: Path) -> None:
    """SIGTERM, which service managers send, is as good as Ctrl-C."""
    notification.write_text('url = "http://127.0.0.1/"\ntimeout = "1h"')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = start("send", notification, "--to", url, "--count", 3, "--seed", 1)
        peer, _ = silent.accept()
        with peer:
            peer.settimeout(PATIENCE_S)
            peer.recv(65_536)
            process.send_signal(signal.SIGTERM)
            process.wait_until_told("SIGTERM again")
            outcome = process.end(signal.SIGINT)

    assert outcome.code == 130
    assert "0 of 3 delivered by n.toml in 1 attempt\n" in outcome.err
    assert "3 waiting in the outbox" in outcome.err
    log = run("outbox", "log", 1)
    assert "cut off (its sender ended first; counts as no retry)" in log.out


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_events_of_every_kind_are_generated_and_sent_now(run: Run, notification: Path, kind: EventKind) -> None:
    notification.write_text(f'event = "{kind}"\nurl = "http://127.0.0.1/"\n')

    with Receiver() as receiver:
        outcome = run("send", notification, "--to", receiver.url, "--count", 2, "--seed", 1, "--time-scale", 1000)
        assert len(receiver.captures()) == 2

    assert outcome.code == 0
    assert "left out" not in outcome.err


def test_generating_many_events_is_announced_and_ctrl_c_ends_it(start: Start, notification: Path) -> None:
    process = start("send", notification, "--count", 100_000, env=SECRETS)
    process.wait_until_told("generating 100000 events")
    outcome = process.end(signal.SIGINT)

    assert outcome.code == 130
    # That is the last that is heard of it.
    assert "generating 100000 events" in outcome.err.splitlines()[-1]


def test_a_target_that_is_not_allowed_is_refused_before_events_are_generated(run: Run, notification: Path) -> None:
    outcome = run("send", notification, "--to", "http://example.com", "--count", 100_000, env=SECRETS)

    assert outcome.code == 2
    assert "--allow-host example.com" in outcome.err
    assert "seed" not in outcome.err


@pytest.mark.parametrize(
    ("settings", "arguments", "code", "message"),
    [
        pytest.param("a =", [], 2, "n.toml: not valid TOML", id="malformed TOML"),
        pytest.param('metod = "GET"', [], 2, 'did you mean "method"?', id="unknown key"),
        pytest.param('body = "{join(items"', [], 2, "n.toml, body, line 1, column 12", id="template"),
        pytest.param('[template]\nunknown_token = "error"', ["--set"], 2, "--set", id="option without value"),
        pytest.param(
            'url = "http://127.0.0.1/{Payuot}"\n[template]\nunknown_token = "error"', [], 2, "{Payuot}", id="token"
        ),
        pytest.param(
            "", ["--to", "http://example.com"], 2, "--allow-host example.com", id="target beyond this machine"
        ),
        pytest.param("", ["--to", "nowhere"], 2, "expected a URL", id="target that is no URL"),
        pytest.param("", ["--events", "missing"], 2, "missing: cannot be read", id="no events file"),
        pytest.param("", ["--events", "bad.ndjson"], 2, "bad.ndjson", id="bad event line"),
        pytest.param("", ["--events", "other.ndjson"], 4, "nothing to send", id="events of another kind"),
        pytest.param("", ["--count", "0"], 2, "--count", id="no count"),
        pytest.param("", ["--cuont", "1"], 2, "--cuont", id="unknown flag"),
    ],
)
def test_what_keeps_it_from_sending_is_one_message(  # noqa: PLR0917  the columns of a table
    run: Run, notification: Path, tmp_path: Path, settings: str, arguments: list[str], code: int, message: str
) -> None:
    notification.write_text(settings)
    (tmp_path / "bad.ndjson").write_text('{"event": "action_lifecycle"\n')
    (tmp_path / "other.ndjson").write_bytes(encode_event(example_event("job_completion")))

    outcome = run("send", notification, *arguments)

    assert outcome.code == code
    assert message in outcome.err


def test_every_flag_has_a_twin_in_the_environment(run: Run, notification: Path) -> None:
    with Receiver() as receiver:
        twins = {"POSTBACK_SEND_TO": receiver.url, "POSTBACK_SEND_COUNT": "2", "POSTBACK_SEND_SEED": "3"}
        run("send", notification, env={**SECRETS, **twins})
        assert len(receiver.captures()) == 2


def options() -> Iterator[tuple[Any, Any]]:
    """Every option of every command, with the place of its command in the program."""
    command: Any = typer.main.get_command(application())
    waiting = [(command, command.make_context("postback", [], resilient_parsing=True, **command.context_settings))]
    while waiting:
        command, context = waiting.pop()
        yield from ((context, each) for each in command.params if each.param_type_name == "option")
        for name, inner in getattr(command, "commands", {}).items():
            waiting.append((inner, inner.make_context(name, [], parent=context, resilient_parsing=True)))


def test_the_twin_of_every_flag_is_named_after_its_command_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: set[str] = set()
    for context, option in options():
        flag = next(name for name in option.opts if name.startswith("--"))
        twin = f"{context.command_path}_{flag.removeprefix('--')}".upper().replace(" ", "_").replace("-", "_")
        monkeypatch.setenv(twin, "from its twin")
        assert option.resolve_envvar_value(context) == "from its twin", flag
        checked.add(twin)

    assert {
        "POSTBACK_QUIET",
        "POSTBACK_RULES_LIST_FORMAT",
        "POSTBACK_RENDER_SET",
        "POSTBACK_LISTEN_PORT_FILE",
    } <= checked


def test_a_flag_of_a_nested_command_has_a_twin_too(run: Run) -> None:
    outcome = run("rules", "list", env={"POSTBACK_RULES_LIST_FORMAT": "json"})

    assert json.loads(outcome.out.splitlines()[0])["id"]


@pytest.mark.parametrize("arguments", [["rules", "list"], ["rules", "list", "--format", "json"]])
def test_output_into_a_closed_pipe_ends_quietly(tmp_path: Path, arguments: list[str]) -> None:
    """And not with 1: that would be findings."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        try:
            # Not `communicate`, which would read the closed one.
            process.wait(PATIENCE_S)
        finally:
            process.kill()

        assert process.stderr.read() == b""

    assert process.returncode == 141


@pytest.mark.parametrize(
    "command", ["demo", "render", "match", "lint", "listen", "send", "list", "show", "check", "rules"]
)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    outcome = run(command, "--help")

    assert outcome.code == 0
    assert "Usage: postback" in outcome.out


def test_without_arguments_it_says_what_there_is(run: Run) -> None:
    outcome = run(fresh=True)

    assert "listen" in outcome.text
    assert "postback-kit 0" in run("--version").out


def test_a_failure_is_told_at_once_with_what_comes_next(start: Start, notification: Path) -> None:
    notification.write_text('url = "http://127.0.0.1:1/"\nretry = "help-centre"')
    process = start("send", notification, "--count", 1, "--seed", 1)
    process.wait_until_told("up to 15 more")
    told = process.told
    outcome = process.end(signal.SIGINT)

    assert "no connection" in told
    assert "next attempt in" in told
    assert "because you stopped it" in outcome.err.removeprefix(told)
    assert outcome.code == 130


def test_send_leaves_nothing_but_its_outbox_where_it_was_run(run: Run, notification: Path, tmp_path: Path) -> None:
    with Receiver() as receiver:
        run(
            "send",
            notification,
            "--to",
            receiver.url,
            "--count",
            1,
            env={**SECRETS, "XDG_CACHE_HOME": str(tmp_path / "c")},
        )

    assert {path.name for path in tmp_path.iterdir()} <= {"n.toml", "c", ".postback"}
    assert (tmp_path / ".postback" / "outbox.sqlite").is_file()


@pytest.mark.parametrize(
    ("redirection", "message"),
    [(">/dev/full", "No space left on device"), (">&-", ""), ("2>&-", ""), ("| true", "")],
)
def test_output_that_cannot_be_written_is_no_fault_of_the_kit(tmp_path: Path, redirection: str, message: str) -> None:
    command = f"{' '.join(COMMAND)} rules list --format json {redirection}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )

    told = done.stderr.decode()
    assert message in told
    assert "fault of Postback Kit" not in told
    assert "Traceback" not in told


def test_a_signal_while_output_is_written_costs_none_of_it(tmp_path: Path) -> None:
    """A write that is interrupted is short; without buffers, as in containers, Python does not go on there."""
    with subprocess.Popen(
        [*COMMAND, "check", "--schema"],
        cwd=tmp_path,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        room = fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        deadline = time.monotonic() + PATIENCE_S
        while in_pipe(process.stdout.fileno()) < room:
            assert time.monotonic() < deadline, "it has not written that much"
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGCONT)
        written = process.stdout.read()

    assert process.returncode == 0
    assert written == SCHEMA.read_bytes()


def in_pipe(number: int) -> int:
    """How many bytes nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(number, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_letters_a_terminal_does_not_know_are_spelt_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NOTIFICATION)
    (tmp_path / "c.ndjson").write_bytes(capture_to_line(capture(b"{]")))

    outcome = run("check", "c.ndjson", "--notification", "n.toml", env={"PYTHONIOENCODING": "ascii"})

    assert outcome.code == 1
    assert "\\u2717 body.json.well-formed" in outcome.out


@pytest.mark.parametrize("command", [["rules", "list"], ["lint", "n.toml"], ["render", "n.toml"]])
def test_a_terminal_of_eight_bits_is_enough(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "n.toml").write_text("method = 'POST'\nbody = '{Nope} \N{GRINNING FACE}'")

    outcome = run(*command, env={"PYTHONIOENCODING": "latin-1"})

    assert outcome.code in {0, 1}
    assert "fault of Postback Kit" not in outcome.err


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_file_name_that_is_not_utf_8_is_spelt_out(run: Run, tmp_path: Path, format: str) -> None:  # noqa: A002  a flag
    name = os.fsdecode(b"n\xff.toml")
    (tmp_path / name).write_text("method = 'POST'\nbody = '{Nope}'")

    outcome = run("lint", name, "--format", format)

    assert outcome.code == 1
    assert "n\\udcff.toml, body, line 2, column 9" in outcome.out
