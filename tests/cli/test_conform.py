"""`postback conform` as people use it: what it prints, what it leaves behind, and how it ends."""

import asyncio
import json
import shlex
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web

from command_line import Run, Start
from partner_endpoint import JSON_SETTINGS, SECRET, Partner, serving
from postback_conformance.hosting.hosted import HostingError
from postback_conformance.suite.restarting import restart_by
from postback_receiver.tls import make_tls
from postback_sender.delivery.origin import Origin

pytest_plugins = ["pytester"]


class AnswersBeforeReading(Partner):
    """Says OK whatever comes."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        await super().answer(request)
        return web.Response(text="OK")


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """The name of settings in the folder of the command."""
    (tmp_path / "n.toml").write_text(JSON_SETTINGS.replace(SECRET, "${PARTNER_KEY}"))
    return "n.toml"


@pytest.fixture(scope="module")
def good() -> Iterator[str]:
    """The URL of an endpoint that does everything right."""
    with serving(Partner()) as url:
        yield url


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    """The URL of one that does not."""
    with serving(AnswersBeforeReading()) as url:
        yield url


KEY = {"PARTNER_KEY": SECRET}


def test_an_endpoint_that_does_everything_right_ends_with_0(run: Run, settings: str, good: str) -> None:
    probe = good.replace("/postback", "/probe")
    only = ("--only", "accepts.[deu]*", "--only", "rejects.m*", "--only", "recovery.cut-mid-body")
    done = run("conform", good, "--notification", settings, "--probe", probe, "--quick", *only, "--seed", "7", env=KEY)
    assert done.code == 0, done.text
    assert "seed 7" in done.err
    assert "8 passed" in done.out
    assert "the endpoint" in done.out


def test_findings_end_with_1_and_leave_a_report_a_case_file_and_a_command(
    run: Run, settings: str, bad: str, tmp_path: Path
) -> None:
    arguments = ("--only", "rejects.missing-secret", "--only", "rejects.m*", "--report", "junit=out.xml", "--seed", "7")
    flags = ("--allow-host", "partner.example", "--insecure")
    done = run("conform", bad, "--notification", settings, *arguments, *flags, env=KEY)
    assert done.code == 1, done.text
    assert "✗ rejects.missing-secret  MUST" in done.out
    assert "rejects.missing-secret, the request once more:\ncurl http://127.0.0.1:" in done.err
    assert SECRET not in done.text
    suite = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314  it is ours
    assert suite.get("failures") == "1", "SHOULD is no failure without --strict"
    kept = tmp_path / "postback-cases" / "rejects.missing-secret-7.json"
    assert SECRET not in kept.read_text()
    assert f"conform {bad} {shlex.join(flags)} --replay {kept.relative_to(tmp_path)}" in done.err

    again = run("conform", bad, "--replay", kept.relative_to(tmp_path), "--format", "json", env=KEY)
    assert again.code == 1
    document = json.loads(again.out)
    assert (document["subject"], document["seed"]) == ("endpoint", 7)
    assert {one["rule"] for one in document["verdicts"]} == {"rejects.missing-secret"}


def test_should_counts_when_it_is_asked_for(run: Run, settings: str, bad: str) -> None:
    arguments = ("conform", bad, "--notification", settings, "--only", "rejects.bad-utf8")
    assert [run(*arguments, env=KEY).code, run(*arguments, "--strict", env=KEY).code] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (("--only", "nothing.*"), (4, "no case is called")),
        (("--only", "state.*", "--skip", "state.*"), (4, "no case")),
        (("--only", "recovery.restart"), (4, "nothing was tested")),
        (("--probe", "nowhere"), (2, "expected a URL, a path at the endpoint or module:function")),
        (("--probe", "http://elsewhere.example/"), (2, "--allow-host elsewhere.example")),
        (("--replay", "n.toml"), (2, "--replay says what to send")),
        (("--restart", "no-such-program-anywhere x"), (2, "there is no program 'no-such-program-anywhere'")),
        (("--restart", "a 'b"), (2, "--restart a 'b: No closing quotation")),
        (("--restart", "true && true"), (2, "no shell runs it; put what needs && into a script")),
        (("--probe", "json:nothing"), (2, "--probe json:nothing: cannot be loaded: AttributeError")),
        (("--report", "x"), (2, "expected FORMAT=FILE")),
    ],
)
def test_what_cannot_be_run_is_told(
    run: Run, settings: str, good: str, arguments: tuple[str, ...], ending: tuple[int, str]
) -> None:
    done = run("conform", good, "--notification", settings, *arguments, env=KEY)
    code, words = ending
    assert (done.code, words in done.err) == (code, True), done.text


def test_only_this_machine_is_tested_unless_a_host_is_allowed(run: Run, settings: str) -> None:
    done = run("conform", "http://partner.example/", "--notification", settings, env=KEY)
    assert (done.code, "--allow-host partner.example" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "env", "words"),
    [
        (("--probe", "/prob"), KEY, "the probe knew none of the actions that it was asked about: is that where"),
        ((), {"PARTNER_KEY": "another"}, "See that the notification sends the secret that the endpoint asks for"),
    ],
)
def test_a_slip_in_what_is_handed_in_is_named_where_the_endpoint_would_be_searched_for_it(
    run: Run, settings: str, flags: tuple[str, ...], env: Mapping[str, str], words: str
) -> None:
    with serving(Partner()) as url:
        done = run("conform", url, "--notification", settings, "--only", "accepts.d*", *flags, env=env)
    assert (done.code, words in done.text.replace("\n", " ")) == (1, True), done.text


def test_settings_that_no_case_can_send_end_with_2_before_anything_is_sent(
    run: Run, settings: str, good: str, tmp_path: Path
) -> None:
    with (tmp_path / settings).open("a") as file:
        file.write("[template]\nunknown_token = 'error'\n")
    (tmp_path / settings).write_text((tmp_path / settings).read_text().replace("{SubId1}", "{Subid1}"))
    done = run("conform", good, "--notification", settings, env=KEY)
    assert (done.code, "unknown token {Subid1}" in done.err, "seed" in done.err) == (2, True, False), done.text


def test_an_endpoint_that_is_down_ends_with_1_and_says_so(run: Run, settings: str) -> None:
    done = run("conform", "http://127.0.0.1:9/", "--notification", settings, "--only", "rejects.*", env=KEY)
    assert (done.code, "✗ endpoint.answers" in done.out, "no connection" in done.out) == (1, True, True)


def test_a_function_in_the_folder_of_the_command_may_be_the_probe(
    run: Run, settings: str, good: str, tmp_path: Path
) -> None:
    (tmp_path / "our_ledger.py").write_text("def recorded(action_id):\n    return None\n")
    arguments = ("--probe", "our_ledger:recorded", "--only", "recovery.cut-mid-body")
    done = run("conform", good, "--notification", settings, *arguments, env=KEY)
    assert (done.code, "was accepted and not recorded" in done.out) == (1, True), done.text


def test_cases_are_listed(run: Run) -> None:
    done = run("conform", "--list-cases")
    assert (done.code, "accepts.documented-example" in done.out, "probe" in done.out) == (0, True, True)


@pytest.mark.parametrize("flag", ["", "--insecure", "--ca-file"])
def test_a_certificate_of_ones_own_is_taken_by_a_flag_that_the_finding_names(
    run: Run, settings: str, tmp_path: Path, flag: str
) -> None:
    """At the endpoint and at its probe, also through the proxy that loses answers."""
    made, partner = make_tls(), Partner()
    partner.tls = made.context
    (tmp_path / "ca.pem").write_bytes(made.ca_pem)
    flags = {"": (), "--insecure": (flag,), "--ca-file": (flag, "ca.pem")}[flag]
    with serving(partner) as url:
        only = ("--only", "accepts.documented-example", "--only", "state.accepted-then-lost")
        done = run("conform", url, "--notification", settings, "--probe", "/probe", *only, *flags, env=KEY)
    if flag:
        assert (done.code, "2 passed" in done.out) == (0, True), done.text
    else:
        assert (done.code, "✗ endpoint.answers" in done.out, "passed" in done.out) == (1, True, False), done.text
        assert "no trusted connection" in done.out
        assert "Trust the endpoint's certificate with --ca-file FILE, or any with --insecure" in done.out


class KnowsIdsOnly(Partner):
    """Takes each update of an action for the first one again, until it is repaired."""

    is_repaired = False

    async def record(self, values: Mapping[str, Any]) -> None:
        if self.is_repaired or values["action_id"] not in self.ledger.moves:
            await super().record(values)


def test_a_case_that_failed_is_told_kept_and_done_again_here_and_by_pytest_until_it_is_repaired(
    run: Run, settings: str, tmp_path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = KnowsIdsOnly()
    with serving(partner) as url:
        probe = ("--probe", "/probe")
        only = ("--only", "state.reversal", "--seed", "7")
        done = run("conform", url, "--notification", settings, *probe, *only, env=KEY)
        assert done.code == 1, done.text
        story = (
            "  1. tracked with payout 4.50, amount 90.00 (PENDING)\n  2. reversed from payout 4.50, amount 90.00 to "
        )
        assert f"state.reversal, the story:\n{story}" in done.err
        assert "Then the payout must be 0.00, not 4.50: that is the figure of the postback that arrived fi" in done.err
        assert done.err.count(f"curl {url}") == 2
        kept = "postback-cases/state.reversal-7.json"
        assert f"conform {url} --probe {probe[1]} --replay {kept}\n  pytest --postback-replay={kept}" in done.err

        again = ("conform", url, *probe, "--replay", kept)
        replayed = run(*again, env=KEY)
        assert (replayed.code, f"state.reversal, the story:\n{story}" in replayed.err) == (1, True), replayed.text
        assert "seed 7: of the case file" in replayed.err

        monkeypatch.setenv("PARTNER_KEY", SECRET)
        pytester.makeini("[pytest]\nfilterwarnings = error\n")
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.fixture
            def postback_probe():
                return {probe[1]!r}

            def test_endpoint(postback_case):
                postback_case()
            """
        )
        options = (f"--postback-app={url}", f"--postback-replay={tmp_path / kept}")
        pytester.runpytest_inprocess(*options).assert_outcomes(failed=1)
        partner.is_repaired = True
        pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
        repaired = run(*again, env=KEY)
        assert (repaired.code, f"the case of {kept} passes" in repaired.err) == (0, True), repaired.text


class FallsSilent(Partner):
    """Answers the first postbacks, and then no more."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if len(self.ledger.moves) == 2:
            await asyncio.Event().wait()
        return await super().answer(request)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_ends_with_130_and_a_report_of_what_was_run(
    start: Start, settings: str, tmp_path: Path, number: signal.Signals
) -> None:
    with serving(FallsSilent()) as url:
        only = ("--only", "accepts.documented-example", "--only", "accepts.unicode", "--only", "accepts.chunked")
        report = ("--report", "json=out.json")
        process = start("conform", url, "--notification", settings, *only, *report, env=KEY)
        process.wait_until_told("✓ accepts.documented-example")
        done = process.end(number)
    assert done.code == 130, done.text
    told = {one["rule"]: one for one in json.loads((tmp_path / "out.json").read_text())["verdicts"]}
    assert {name: one["outcome"] for name, one in told.items()} == {
        "accepts.documented-example": "pass",
        "accepts.unicode": "inconclusive",
        "accepts.chunked": "inconclusive",
    }
    assert "the run was stopped" in told["accepts.chunked"]["message"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("true", "1 passed"),
        ("false", "the restart command ended with exit code 1"),
        ("ls /nowhere/at/all", "it printed: ls: "),
    ],
)
def test_a_command_starts_the_endpoint_anew(run: Run, settings: str, good: str, command: str, words: str) -> None:
    flags = ("--probe", good.replace("/postback", "/probe"), "--only", "recovery.restart", "--restart", command)
    done = run("conform", good, "--notification", settings, *flags, env=KEY)
    assert (done.code, words in done.out) == (int(command != "true"), True), done.text


def test_a_restart_that_does_not_end_is_ended_in_time() -> None:
    restart = restart_by("sleep 600", Origin(scheme="http", host="127.0.0.1", port=9), within_s=0.1)
    with pytest.raises(HostingError, match=r"not done, or 127\.0\.0\.1:9 not listening, after 0\.1 s"):
        asyncio.run(restart())


def test_what_is_wrong_with_the_settings_is_said_before_an_endpoint_is_blamed(
    run: Run, settings: str, good: str, tmp_path: Path
) -> None:
    text = (tmp_path / settings).read_text()
    (tmp_path / settings).write_text(text.replace("{SubId1}", "{SubId1"))
    done = run("conform", good, "--notification", settings, "--only", "accepts.documented-example", env=KEY)
    assert "n.toml, line 7: {SubId1 is not closed" in done.err
    assert "`postback lint` finds 1 fault in these settings" in done.err


def test_a_probe_may_print_and_spoils_no_report(run: Run, settings: str, good: str, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("def recorded(action_id):\n    print('looking')\n")
    flags = ("--probe", "noisy:recorded", "--only", "recovery.cut-mid-body", "--format", "json")
    done = run("conform", good, "--notification", settings, *flags, env=KEY)
    assert json.loads(done.out)["subject"] == "endpoint"
    assert "looking" in done.err


class Redirects(Partner):
    """Sends everybody elsewhere."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"http://elsewhere.example{request.path}?token=abc")


class ClosesNowAndThen(Partner):
    """Closes its first connection, and takes what comes after."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not self.ledger.moves:
            await super().answer(request)
            assert request.transport is not None
            request.transport.abort()
        return await super().answer(request)


@pytest.mark.parametrize(
    ("partner", "ending"),
    [
        (Redirects, (1, "do       Hand in the URL that it leads to")),
        (ClosesNowAndThen, (0, "1 passed")),
    ],
)
def test_an_endpoint_that_redirects_or_closes_once_is_told_for_what_it_is(
    run: Run, settings: str, partner: type[Partner], ending: tuple[int, str]
) -> None:
    with serving(partner()) as url:
        flags = ("--only", "accepts.documented-example")
        done = run("conform", url, "--notification", settings, *flags, env=KEY)
    assert (done.code, ending[1] in done.out) == (ending[0], True), done.text
    assert "abc" not in done.text


def test_a_folder_that_cannot_be_written_loses_no_report(run: Run, settings: str, bad: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    flags = ("--only", "rejects.missing-secret", "--case-folder", "taken")
    done = run("conform", bad, "--notification", settings, *flags, env=KEY)
    assert (done.code, "this case is not kept: " in done.err) == (1, True), done.text
    assert "✗ rejects.missing-secret" in done.out


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("text", "2 cases, seed 7, under test: the endpoint"),
        ("markdown", "Postback conform: 2 cases failed"),
        ("html", "2 cases failed"),
        ("sarif", "postback-conform/endpoint/"),
        ("junit", 'testsuites name="postback conform"'),
    ],
)
def test_a_report_on_an_endpoint_speaks_of_cases_and_requests(
    run: Run, settings: str, bad: str, form: str, words: str
) -> None:
    flags = ("--only", "rejects.m*", "--seed", "7", "--strict", "--format", form)
    text = run("conform", bad, "--notification", settings, *flags, env=KEY).out
    assert words in text
    # Names that programs read are the same in all reports.
    for other in ("all captures", " captures ", "profile documented", "ostback check", " rule "):
        assert other not in text.partition("<body")[2 if form == "html" else 0].replace("card rule ", "")
