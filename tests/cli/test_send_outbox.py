"""`send` with its outbox: what was accepted is delivered, whatever happens to the process."""

import json
import os
import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from command_line import COMMAND, PATIENCE_S, Run, environment
from postback_receiver import Receiver, Reply

CONCURRENCY = 4
COUNT = 120


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text(
        'url = "http://127.0.0.1/?action={ActionId}"\nretry = [0.05, 0.05]\n'
        # Slow enough that there is something left to be stopped.
        'maximum_requests = "200/s"\nmaximum_requests_scope = "all"\n'
    )
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    line = {"event": "action_lifecycle", "at": datetime.now(UTC).isoformat()}
    path.write_text(
        "".join(json.dumps({**line, "values": {"ActionId": f"a-{number}"}}) + "\n" for number in range(COUNT))
    )
    return path


def test_what_was_accepted_arrives_although_the_sender_is_killed_again_and_again(
    run: Run, notification: Path, events: Path, tmp_path: Path
) -> None:
    kills = 0
    with Receiver() as receiver:
        what = ["--events", str(events)]
        for arrived in (1, 60):
            command = [*COMMAND, "send", str(notification), "--to", receiver.url, *what]
            with subprocess.Popen(
                [*command, "--concurrency", str(CONCURRENCY)], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
            ) as process:
                receiver.wait_for_count(arrived, timeout=PATIENCE_S)
                process.send_signal(signal.SIGKILL)
                kills += 1
            what = ["--resume"]
        outcome = run("send", notification, "--to", receiver.url, "--resume")
        arrivals = Counter(capture.target for capture in receiver.captures())

    assert outcome.code == 0
    assert "of an earlier run wait in" in outcome.err
    assert set(arrivals) == {f"/?action=a-{number}" for number in range(COUNT)}
    # At most what was in flight at a kill is sent once more.
    assert arrivals.total() <= COUNT + kills * CONCURRENCY
    listed = json.loads(f"[{','.join(run('outbox', 'list', '--limit', COUNT, '--format', 'json').out.splitlines())}]")
    assert {entry["state"] for entry in listed} == {"delivered"}


def test_ctrl_c_keeps_the_rest_and_resume_goes_on_with_it(
    run: Run, notification: Path, events: Path, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        command = [*COMMAND, "send", str(notification), "--to", receiver.url, "--events", str(events)]
        with subprocess.Popen(
            [*command, "--concurrency", "1"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
        ) as process:
            receiver.wait_for_count(3, timeout=PATIENCE_S)
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=PATIENCE_S)[1].decode()
        outcome = run("send", notification, "--to", receiver.url, "--resume")
        arrivals = Counter(capture.target for capture in receiver.captures())

    assert process.returncode == 130
    assert "wait in the outbox" in told
    assert outcome.code == 0
    # Nothing was cut: what was in flight was finished, and is not sent again.
    assert set(arrivals.values()) == {1}
    assert len(arrivals) == COUNT


def test_nothing_waits_is_an_exit_code_of_its_own(run: Run, notification: Path) -> None:
    outcome = run("send", notification, "--resume")

    assert outcome.code == 4
    assert "no postback of n.toml to that target waits in" in outcome.err


def test_a_failed_postback_is_in_the_log_and_can_be_tried_again(run: Run, notification: Path) -> None:
    with Receiver() as receiver:
        receiver.reply(Reply(status=503))
        failed = run("send", notification, "--to", receiver.url, "--count", 1, "--seed", 1)
        log = run("outbox", "log", 1)
        receiver.reply(Reply(status=200))
        retried = run("outbox", "retry", 1)
        resumed = run("send", notification, "--to", receiver.url, "--resume")

    assert failed.code == 1
    assert log.out.count("error answer") >= 3
    assert (retried.code, resumed.code) == (0, 0)
    assert "1 of 1 delivered" in resumed.err


def test_a_scenario_is_sent_in_no_time_when_time_runs_fast(run: Run, notification: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        """
        [actions.shoes]
        payout = "4.20"
        amount = "84.00"
        [[step]]
        do = "track"
        action = "shoes"
        [[step]]
        do = "reverse"
        action = "shoes"
        after = "2h"
        [[step]]
        do = "duplicate"
        action = "shoes"
        after = "1h"
        """
    )
    notification.write_text('url = "http://127.0.0.1/?status={Status}&payout={Payout}"\n')
    with Receiver() as receiver:
        outcome = run(
            *("send", notification, "--to", receiver.url, "--scenario", "s.toml", "--time-scale", "100000x"),
            *("--outbox", "memory"),
        )
        targets = [capture.target for capture in receiver.captures()]

    assert outcome.code == 0
    assert targets == ["/?status=PENDING&payout=4.20", *["/?status=REVERSED&payout=0.00"] * 2]
    assert not (tmp_path / ".postback").exists()


def test_an_illegal_step_of_a_scenario_is_said_before_anything_is_sent(
    run: Run, notification: Path, tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(
        '[actions.a]\n[[step]]\ndo = "track"\naction = "a"\n[[step]]\ndo = "clear"\naction = "a"\n'
    )
    with Receiver() as receiver:
        outcome = run("send", notification, "--to", receiver.url, "--scenario", "s.toml")
        captures = receiver.captures()

    assert outcome.code == 2
    assert "line 5" in outcome.err
    assert captures == []


def test_explain_shows_what_the_code_that_retries_will_do(run: Run, notification: Path) -> None:
    notification.write_text('url = "http://127.0.0.1/"\nretry = {profile = "help-centre", sends = 3}')

    rows = [json.loads(line) for line in run("send", notification, "--explain", "--format", "json").out.splitlines()]

    delays = {(row["failure"], row["status"]): row["delays_ns"] for row in rows}
    assert delays["error answer", 503] == [5_000_000_000, 15_000_000_000]
    assert delays["error answer", 404] == delays["host not found", None] == []
    assert "at most 15 retries" in run("send", notification, "--explain").out


@pytest.mark.parametrize(
    "flags",
    [
        ["--events", "e", "--resume"],
        ["--scenario", "s", "--resume"],
        ["--insecure", "--ca-file", os.devnull],
        ["--time-scale", "0x"],
        ["--ca-file", os.devnull],
    ],
    ids=" ".join,
)
def test_flags_that_do_not_go_together_are_refused(run: Run, notification: Path, flags: list[str]) -> None:
    assert run("send", notification, *flags).code == 2
