"""`postback check` as people use it: known findings, selections, profiles, and a store that is still growing."""

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from command_line import Run, Start
from postback_conformance.captured.traffic import pack_source
from postback_conformance.rules.examples import JSON_SETTINGS, capture
from postback_receiver import Capture, SqliteStore, capture_to_line
from postback_sender import NotificationSource

GOOD, BAD = capture(b'{"id": "1", "date": "2026-05-11T00:07:27+03:00"}'), capture(b'{"id": }', at_s=1)
ONLY = ("--only", "body.json.well-formed")


@pytest.fixture
def broken(tmp_path: Path) -> list[object]:
    """Return the beginning of a command that judges traffic with one broken body."""
    (tmp_path / "n.toml").write_text(JSON_SETTINGS)
    (tmp_path / "c.ndjson").write_bytes(b"".join(capture_to_line(one).rstrip() + b"\n" for one in (GOOD, BAD)))
    return ["check", "c.ndjson", "--notification", "n.toml", *ONLY]


def test_a_baseline_excuses_what_was_known_until_its_day_is_over(
    run: Run, broken: list[object], tmp_path: Path
) -> None:
    assert run(*broken).code == 1
    written = run(*broken, "--write-baseline", "known.toml")
    assert (written.code, "baseline: known.toml" in written.err) == (0, True)
    assert run(*broken, "--write-baseline", "known.toml").code == 2, "what people wrote is not overwritten"

    excused = run(*broken, "--baseline", "known.toml", "--format", "json")
    assert excused.code == 0
    (verdict,) = [one for one in json.loads(excused.out)["verdicts"] if one["outcome"] == "fail"]
    assert verdict["baseline"].startswith("found on ")

    known = tmp_path / "known.toml"
    text = "\n".join(
        line if not line.startswith("expires") else "expires = 2020-01-01" for line in known.read_text().splitlines()
    )
    known.write_text(text)
    expired = run(*broken, "--baseline", "known.toml")
    assert (expired.code, "until 2020-01-01, which is over" in expired.out) == (1, True)

    renewed = run(*broken, "--baseline", "known.toml", "--write-baseline", "next.toml")
    assert "body.json.well-formed was excused until 2020-01-01, still fails and was renewed: found on" in renewed.err
    assert "which is over" not in (tmp_path / "next.toml").read_text()
    assert "its day was 2020-01-01; renewed on" in (tmp_path / "next.toml").read_text()


def test_an_entry_that_nothing_needs_any_more_is_told(run: Run, broken: list[object], tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text('[[excused]]\nrule = "http.method"\nreason = "we told them"\n')
    outcome = run(*broken, "--only", "http.method", "--baseline", "known.toml", "--format", "json")
    (stale,) = json.loads(outcome.out)["baseline_stale"]
    assert (stale["rule"], stale["why"]) == ("http.method", "it no longer fails")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--only", "body.jsn.well-formed"], 4, "did you mean body.json.well-formed", id="typo"),
        pytest.param(["--skip", "body.*"], 4, "leaves no rule", id="nothing left"),
        pytest.param(["--profile", "strct"], 2, "strict", id="unknown profile"),
        pytest.param(["--profile", "lenient"], 1, "", id="a profile"),
        pytest.param(["--baseline", "missing.toml"], 2, "missing.toml: cannot be read", id="no baseline"),
        pytest.param(
            ["--skip", "body.*", "--only", "delivery.retry-gap"],
            4,
            "nothing passed and nothing failed",
            id="nothing to judge",
        ),
        pytest.param(["--follow"], 2, "only a capture store can be followed", id="a file is not followed"),
    ],
)
def test_a_selection_is_what_it_says(
    arguments: list[str], code: int, words: str, run: Run, broken: list[object]
) -> None:
    outcome = run(*broken, *arguments)
    assert (outcome.code, words in outcome.err) == (code, True), outcome.err


def test_one_notification_judges_the_endpoint_it_is_for(run: Run, tmp_path: Path) -> None:
    """What was meant for another endpoint is no postback of this one, and nobody's fault."""
    (tmp_path / "n.toml").write_text(JSON_SETTINGS)
    stranger = replace(BAD, endpoint=None, malformed="no HTTP at all")
    arrived = [replace(GOOD, endpoint="/a"), replace(BAD, endpoint="/b"), stranger]
    (tmp_path / "c.ndjson").write_bytes(b"".join(capture_to_line(one).rstrip() + b"\n" for one in arrived))
    command = ["check", "c.ndjson", "--notification", "n.toml", "--format", "json", *ONLY]
    refused = run(*command)
    assert (refused.code, "several endpoints, /a and /b among them" in refused.err) == (2, True)
    chosen = run(*command, "--endpoint", "/a")
    report = json.loads(chosen.out)
    assert (chosen.code, report["captures"], report["left_out"]) == (0, 2, 1)
    assert run(*command, "--endpoint", "/b").code == 1
    missing = run(*command, "--endpoint", "/c")
    told = "no captures of the endpoint /c to judge; it holds some of /a, /b"
    assert (missing.code, told in missing.err) == (4, True), "what nobody could read was not meant for it for sure"


def keep(store: Path, arrived: Sequence[Capture]) -> None:
    async def fill() -> None:
        filled = SqliteStore(store)
        await filled.set_endpoints({"/": pack_source(NotificationSource(name="n.toml", text=JSON_SETTINGS))})
        for one in arrived:
            await filled.append(one)
        filled.close()

    asyncio.run(fill())


def test_a_growing_store_is_judged_as_it_grows_from_before_it_is_there(start: Start, tmp_path: Path) -> None:
    """Each finding is told once: with its mark, its place and its capture, and with the reason that excuses it."""
    store = tmp_path / "growing.sqlite"
    (tmp_path / "known.toml").write_text('[[excused]]\nrule = "http.method"\nreason = "an old client"\n')
    command = ("check", "growing.sqlite", "--follow", "--format", "json", "--baseline", "known.toml")
    following = start(*command, *ONLY, "--only", "http.method")
    following.wait_until_told("waiting for growing.sqlite")
    keep(store, [GOOD])
    following.wait_until_told("following growing.sqlite")
    keep(store, [replace(BAD, method="PUT")])
    following.wait_until_told("· http.method MUST")
    following.wait_until_told("✗ body.json.well-formed MUST")
    outcome = following.end(signal.SIGINT)
    report = json.loads(outcome.out)
    assert (outcome.code, report["captures"]) == (1, 2)
    assert (report["summary"]["fail"], report["summary"]["excused"]) == (1, 1)
    (known,) = [line for line in outcome.err.splitlines() if "http.method" in line]
    assert known.endswith("(/, example-); excused: an old client")
    assert outcome.err.count("body.json.well-formed") == 1


def test_following_what_never_comes_ends_with_nothing_to_judge(start: Start) -> None:
    following = start("check", "never.sqlite", "--follow")
    following.wait_until_told("waiting for never.sqlite")
    assert following.end(signal.SIGINT).code == 4
