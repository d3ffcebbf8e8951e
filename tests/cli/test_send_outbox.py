"""`send` with its outbox: what was accepted is delivered, whatever happens to the process."""

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from command_line import PATIENCE_S, Run, Start
from postback_conformance.cli.delivery_report import show_retry_plan
from postback_conformance.cli.terminal import Format
from postback_receiver import Capture, Receiver, Reply, never_answer
from postback_sender import Event
from postback_sender.delivery.policy import DeliveryPolicy
from postback_sender.delivery.retry import custom_profile
from postback_sender.matcher import ResponseMatcher
from postback_sender.notification_file import read_source
from postback_sender.outbox.entry import Begun, Draft
from postback_sender.outbox.sqlite_outbox import SqliteOutbox

CONCURRENCY = 4
COUNT = 120


@pytest.fixture
def notification(tmp_path: Path) -> Path:
    path = tmp_path / "n.toml"
    path.write_text('url = "http://127.0.0.1/?action={ActionId}"\nretry = [0.05, 0.05]\ntimeout = "1h"\n')
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    line = {"event": "action_lifecycle", "at": datetime.now(UTC).isoformat()}
    path.write_text(
        "".join(json.dumps({**line, "values": {"ActionId": f"a-{number}"}}) + "\n" for number in range(COUNT))
    )
    return path


class Allowance:
    """Replies of an endpoint that answers so many requests, and none after them."""

    left = 0

    def __call__(self, _capture: Capture) -> Reply:
        self.left -= 1
        return Reply(faults=() if self.left >= 0 else (never_answer(),))


def test_what_was_accepted_arrives_although_the_sender_is_killed_again_and_again(
    run: Run, start: Start, notification: Path, events: Path
) -> None:
    kills, allowance = 0, Allowance()
    with Receiver() as receiver:
        receiver.reply(allowance)
        what: list[object] = ["--events", events]
        for answers in (1, 60):
            # However late the kill comes, there is something left to be sent.
            allowance.left = answers
            process = start("send", notification, "--to", receiver.url, *what, "--concurrency", CONCURRENCY)
            receiver.wait_for_count(answers, timeout=PATIENCE_S)
            process.kill()
            kills += 1
            what = ["--resume"]
        receiver.reply(200)
        outcome = run("send", notification, "--to", receiver.url, "--resume")
        arrivals = Counter(capture.target for capture in receiver.captures())

    assert outcome.code == 0
    assert "from an earlier run, and sent, too: " in outcome.err
    assert set(arrivals) == {f"/?action=a-{number}" for number in range(COUNT)}
    # At most what was in flight at a kill is sent once more.
    assert arrivals.total() <= COUNT + kills * CONCURRENCY
    listed = json.loads(f"[{','.join(run('outbox', 'list', '--limit', COUNT, '--format', 'json').out.splitlines())}]")
    assert {entry["state"] for entry in listed} == {"delivered"}


def test_ctrl_c_keeps_the_rest_and_resume_goes_on_with_it(
    run: Run, start: Start, notification: Path, events: Path
) -> None:
    asked, may_answer, numbers = threading.Event(), threading.Event(), count(1)

    def answer_the_third_when_told(_capture: Capture) -> Reply:
        if next(numbers) == 3:
            asked.set()
            may_answer.wait(PATIENCE_S)
        return Reply()

    with Receiver() as receiver:
        receiver.reply(answer_the_third_when_told)
        process = start("send", notification, "--to", receiver.url, "--events", events, "--concurrency", 1)
        assert asked.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)
        process.wait_until_told("Ctrl-C again")
        may_answer.set()
        stopped = process.end()
        outcome = run("send", notification, "--to", receiver.url, "--resume")
        arrivals = Counter(capture.target for capture in receiver.captures())

    assert stopped.code == 130
    assert "waiting in the outbox" in stopped.err
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
        elsewhere = run("send", notification, "--to", f"{receiver.url}/other", "--resume")
        resumed = run("send", notification, "--to", receiver.url, "--resume")

    assert failed.code == 1
    assert log.out.count("error answer") >= 3
    assert "error answer 503; next attempt in 50ms, up to 2 more (retry in the settings); further ones" in failed.err
    assert "1 given up: error answer after 3 attempts: the schedule in the settings allows no more" in failed.err
    assert (retried.code, elsewhere.code, resumed.code) == (0, 4, 0)
    # Which --to it takes is said as far as it is kept.
    assert f"What waits there: 1 of n.toml to {receiver.url}. It takes" in elsewhere.err
    assert "1 of 1 delivered by n.toml in 1 attempt\n" in resumed.err


def test_an_entry_that_cannot_be_rendered_any_more_fails_alone_and_its_log_says_why(
    run: Run, notification: Path, tmp_path: Path
) -> None:
    """It was accepted by settings that could; those of today write XML, which has no NUL."""
    outbox = tmp_path / "o.sqlite"
    at = datetime.now(UTC)
    drafts = [
        Draft(event=Event(kind="action_lifecycle", at=at, values={"ActionId": name}), key=name, due_ns=0)
        for name in ("a", "nul\0", "b")
    ]
    notification.write_text(
        'url = "http://127.0.0.1/"\nmethod = "POST"\nbody_format = "xml"\nbody = "<a>{ActionId}</a>"\n'
    )

    async def accept(to: str) -> None:
        async with SqliteOutbox(outbox, read_source(notification), to=to) as earlier:
            await earlier.add(drafts)

    with Receiver() as receiver:
        asyncio.run(accept(receiver.url))
        command = ("send", notification, "--to", receiver.url, "--resume", "--outbox", outbox)
        outcome = run(*command, "--format", "json")
        bodies = sorted(capture.body for capture in receiver.captures())
    log = run("outbox", "log", 2, "--outbox", outbox)

    assert (outcome.code, bodies) == (1, [b"<a>a</a>", b"<a>b</a>"])
    reason = "it cannot be sent with the settings as they are now: "
    assert f"1 given up: {reason}" in outcome.err
    [bad] = [row for row in map(json.loads, outcome.out.splitlines()) if row["outcome"] == "given up"]
    assert (bad["url"], bad["attempts"], reason in bad["reason"]) == ("", [], True)
    assert f"given up: {reason}" in log.err


def test_after_a_kill_the_log_shows_what_was_under_way_and_resume_says_how_many(run: Run, notification: Path) -> None:
    outbox = notification.with_name("o.sqlite")
    events = [Event(kind="action_lifecycle", at=datetime.now(UTC), values={"ActionId": name}) for name in "ab"]

    async def leave(to: str) -> None:
        async with SqliteOutbox(outbox, read_source(notification), to=to) as earlier:
            await earlier.add([Draft(event=event, key="", due_ns=0) for event in events])
            earlier.begin(Begun(entry_id=2, round=1, number=1, started_at_ns=0))

    with Receiver() as receiver:
        asyncio.run(leave(receiver.url))
        looked = run("outbox", "log", 2, "--outbox", outbox)
        told = run("outbox", "log", 2, "--outbox", outbox, "--format", "json")
        resumed = run("send", notification, "--to", receiver.url, "--resume", "--outbox", outbox)
    logged = run("outbox", "log", 2, "--outbox", outbox, "--format", "json")

    assert "unfinished (under way, or cut off by a kill)" in looked.out
    assert [json.loads(line)["outcome"] for line in told.out.splitlines()] == ["unfinished"]
    assert "so the endpoint may have them already: 1 postback\n" in resumed.err
    assert [json.loads(line)["outcome"] for line in logged.out.splitlines()] == ["cut off", "delivered"]


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
    # A duplicate waits for nobody, and an hour is 36 ms here: on a busy machine it overtakes.
    assert sorted(targets) == ["/?status=PENDING&payout=4.20", *["/?status=REVERSED&payout=0.00"] * 2]
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
    assert ("error answer", 200) not in delays
    told = run("send", notification, "--explain").out
    assert "at most 15 retries" in told
    # What ends alike is one row.
    first, second, *_ = (" ".join(line.split()) for line in told.splitlines()[1:])
    assert first.startswith("error answer 302 503, no answer in time, no connection, broken answer, no trusted")
    assert first.endswith(" 2 5s 15s given up after 3 attempts")
    assert second == "error answer 404 429 500, host not found, malformed URL 0 given up at once"


@pytest.mark.parametrize("is_told", [False, True])
def test_a_schedule_of_the_settings_is_called_that_and_200_fails_only_where_answers_are_read(
    capsys: pytest.CaptureFixture[str], *, is_told: bool
) -> None:
    policy = DeliveryPolicy(
        retry=custom_profile((5,)), success_response=ResponseMatcher(body_equals="OK") if is_told else None
    )
    show_retry_plan(policy, Format.JSON)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert (("error answer", 200) in {(row["failure"], row["status"]) for row in rows}) == is_told
    assert {row["reason"].partition(": ")[2] for row in rows} == {"the schedule in the settings allows no more"}


@pytest.mark.parametrize(
    "flags",
    [
        ["--events", "e", "--resume"],
        ["--scenario", "s", "--resume"],
        ["--events", "e", "--seed", "1"],
        ["--scenario", "s", "--count", "1"],
        ["--resume", "--count", "1"],
        ["--insecure", "--ca-file", os.devnull],
        ["--time-scale", "0x"],
        ["--ca-file", os.devnull],
    ],
    ids=" ".join,
)
def test_flags_that_do_not_go_together_are_refused(run: Run, notification: Path, flags: list[str]) -> None:
    outcome = run("send", notification, *flags)
    assert (outcome.code, flags[0] in outcome.err or os.devnull in outcome.err) == (2, True)


def test_names_that_nobody_knows_are_told_as_render_tells_them(run: Run, notification: Path, tmp_path: Path) -> None:
    notification.write_text('url = "http://127.0.0.1/?a={Payuot}&b={Tier}&c={Payout}"\n')
    line = {"event": "action_lifecycle", "at": "2026-05-11T00:07:27Z", "values": {"Tier": "GOLD", "Promocode": "X"}}
    (tmp_path / "e.ndjson").write_text(f"{json.dumps(line)}\n" * 2)
    (tmp_path / "empty").write_text("")
    with Receiver() as receiver:
        sent = run("send", notification, "--to", receiver.url, "--events", "e.ndjson")
    empty = run("send", notification, "--to", receiver.url, "--events", "empty")

    assert sent.err.count("Payuot: stands in a template, but no catalogue knows such a token") == 1
    assert sent.err.count("Promocode: no token of that name exists") == 1
    assert "Tier" not in sent.err
    assert (empty.code, "empty holds no events\n" in empty.err) == (4, True)
