"""State cases and the machine find wrong ledgers, and only those; what they find can be told, kept and done again."""

import asyncio
from collections.abc import Iterable
from itertools import count
from typing import Final

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from counted_clock import CountedClock
from hasty_loop import let_pass, run_hastily
from ledgers import (
    SETTINGS,
    AddsDeltas,
    AddsEverything,
    FirstWins,
    Floats,
    FollowsChain,
    LastWins,
    Ledger,
    LedgerEndpoint,
    PutOffError,
    RefusesLate,
    RefusesRepeats,
    Values,
    settings,
)
from postback_conformance.judging.verdict import PASS, Fail, NotApplicable, Outcome
from postback_conformance.ledger.play import LedgerError
from postback_conformance.ledger.shortening import with_fresh_ids
from postback_conformance.ledger.step import Restart, Send
from postback_conformance.ledger.story import curl_lines, told
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.case import Case
from postback_conformance.suite.case_file import (
    MAX_BYTES,
    CaseFile,
    CaseFileError,
    case_of,
    decode_case_file,
    encode_case_file,
    file_name,
)
from postback_conformance.suite.endpoint import Endpoint
from postback_conformance.suite.life_cycles import CASES as SEARCHED
from postback_conformance.suite.patience import Patience
from postback_conformance.suite.playing import LedgerFail
from postback_conformance.suite.probe import CallableProbe, ProbeError
from postback_conformance.suite.state import CASES as FIXED
from postback_sender import example_event
from postback_sender.event import EventFormatError
from postback_sender.notification import Notification, NotificationSource

CASES: Final = (*FIXED, *SEARCHED)
BY_ID: Final = {case.id: case for case in CASES}
SEED: Final = 1
SOURCE: Final = NotificationSource(name="n.toml", text=SETTINGS)


def run(
    cases: Iterable[Case],
    kind: type[Ledger] = AddsDeltas,
    *,
    notification: Notification | None = None,
    endpoint: type[LedgerEndpoint] = LedgerEndpoint,
    max_examples: int = 2,
    patience: Patience | None = None,
) -> dict[str, Outcome]:
    """Run cases against an endpoint with a ledger of this kind, and return the first outcome of each."""

    async def outcomes() -> dict[str, Outcome]:
        async with endpoint(kind) as server:
            bench = Bench(
                Endpoint(url=server.url, restart=getattr(server, "restart", None)),
                notification or settings(),
                probe=CallableProbe(server.probe),
                seed=SEED,
                max_examples=max_examples,
                quick=True,
                # A search ends after so many steps, not seconds, so that it finds the same everywhere.
                clock=CountedClock(),
                patience=patience or Patience(pauses_s=()),
            )
            async with bench:
                return {case.id: next(iter(await case.run(bench)), PASS) for case in cases}

    return run_hastily(outcomes())


def failure(outcome: Outcome) -> LedgerFail:
    assert isinstance(outcome, LedgerFail), outcome
    return outcome


@pytest.mark.parametrize("kind", [AddsDeltas, FollowsChain, RefusesLate, RefusesRepeats])
def test_honest_endpoints_of_different_policies_pass_every_case(kind: type[Ledger]) -> None:
    assert run(CASES, kind) == dict.fromkeys(BY_ID, PASS)


class BooksLater(LedgerEndpoint):
    """Puts postbacks into a queue, answers, and books them soon after."""

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        # The server keeps no body once the answer has left.
        await request.read()
        asyncio.get_running_loop().call_later(0.03, lambda: self._queue.add(asyncio.ensure_future(self._book(request))))
        return web.Response(status=202)

    def __init__(self, kind: type[Ledger]) -> None:
        super().__init__(kind)
        self._queue: set[asyncio.Future[None]] = set()

    async def _book(self, request: web.BaseRequest) -> None:
        await super()._handle(request)


def test_an_endpoint_that_books_soon_after_its_answer_is_waited_for() -> None:
    cases = [BY_ID[name] for name in ("state.duplicate", "state.reversal", "state.concurrent-updates")]
    outcomes = run(cases, endpoint=BooksLater, patience=Patience(pauses_s=(0.02, 0.05, 2.0)))
    assert outcomes == dict.fromkeys(outcomes, PASS)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Floats, {"state.exact-money"}),
        (LastWins, {"state.duplicate", "state.out-of-order"}),
        (AddsEverything, {"state.duplicate", "state.concurrent-duplicate", "state.accepted-then-lost"}),
        (FirstWins, {case.id for case in FIXED} - {"state.similar-ids"}),
    ],
)
def test_a_broken_endpoint_fails_the_cases_made_for_it(kind: type[Ledger], wrong: set[str]) -> None:
    outcomes = run(FIXED, kind)
    assert {case_id for case_id, outcome in outcomes.items() if isinstance(outcome, Fail)} == wrong


class Forgetful(AddsDeltas):
    """Refuses every reversal."""

    def take(self, values: Values) -> None:
        if values["Status"] == "REVERSED":
            raise PutOffError
        super().take(values)


def test_an_update_that_is_never_taken_is_a_failure_by_itself() -> None:
    outcomes = run([BY_ID["state.reversal"], BY_ID["state.out-of-order"]], Forgetful)
    assert [failure(outcome).expected for outcome in outcomes.values()] == ["answer: the update taken"] * 2
    assert "answered 503" in failure(outcomes["state.reversal"]).actual


class Unreliable(LedgerEndpoint):
    """Takes every ninth postback without booking it."""

    came = 0

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        self.came += 1
        return web.Response() if self.came % 9 == 0 else await super()._handle(request)


def test_what_is_lost_only_now_and_then_is_a_failure_as_well() -> None:
    found = failure(run([BY_ID["state.life-cycles"]], endpoint=Unreliable, max_examples=20)["state.life-cycles"])
    assert found.steps


class Hanging(LedgerEndpoint):
    """Never answers."""

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        let_pass(60)
        await asyncio.Event().wait()
        return await super()._handle(request)


def test_an_endpoint_that_never_answers_fails_in_bounded_time() -> None:
    notification = settings('timeout = "60s"\n' + SETTINGS)
    outcomes = run([BY_ID["state.life-cycles"], BY_ID["state.reversal"]], endpoint=Hanging, notification=notification)
    for outcome in outcomes.values():
        assert "no answer in time" in failure(outcome).actual


NO_ID = 'url = "http://127.0.0.1:9/p?s={Status}"'
NO_FIGURES = 'url = "http://127.0.0.1:9/p?id={ActionId}"'


@pytest.mark.parametrize(
    ("text", "case", "why"),
    [
        (NO_ID, "state.reversal", "leave {ActionId} out"),
        (NO_FIGURES, "state.reversal", "neither status nor payout nor amount"),
        ('level = "event"\n' + SETTINGS, "state.reversal", "one update of each action only"),
        ('event = "job_completion"\n' + NO_ID, "state.life-cycles", "tells of no action"),
    ],
)
def test_a_case_that_cannot_be_tried_says_why(text: str, case: str, why: str) -> None:
    outcome = run([BY_ID[case]], notification=settings(text))[case]
    assert isinstance(outcome, NotApplicable)
    assert why in outcome.why


def test_clearing_events_have_their_state_as_well() -> None:
    notification = settings('event = "action_clearing"\n' + SETTINGS)
    # Of two lives that are drawn, both may have nothing that can be known.
    outcomes = run(CASES, AddsEverything, notification=notification, max_examples=20)
    assert {case_id for case_id, outcome in outcomes.items() if outcome == PASS} == {
        *("state.duplicate", "state.concurrent-duplicate", "state.accepted-then-lost"),
        *("state.exact-money", "state.no-money", "state.similar-ids", "state.life-cycles"),
    }


class Silent(LedgerEndpoint):
    """Has a probe that tells nothing but that there is something."""

    def probe(self, action_id: str) -> object:
        return {"actions": {action_id: {}} if action_id in self.ledgers else {}}


class Broken(LedgerEndpoint):
    """Has a probe that does not work."""

    def probe(self, action_id: str) -> object:
        raise RuntimeError(action_id)


def test_a_probe_that_tells_no_figure_is_no_pass() -> None:
    outcome = run([BY_ID["state.reversal"]], endpoint=Silent)["state.reversal"]
    assert isinstance(outcome, NotApplicable)
    assert "the probe tells nothing" in outcome.why


@pytest.mark.parametrize("case", ["state.reversal", "state.life-cycles"])
def test_a_probe_that_fails_is_blamed_itself(case: str) -> None:
    with pytest.raises(ProbeError, match="the probe failed: RuntimeError"):
        run([BY_ID[case]], endpoint=Broken)


@pytest.fixture(scope="module")
def doubled() -> LedgerFail:
    return failure(run([BY_ID["state.accepted-then-lost"]], AddsEverything)["state.accepted-then-lost"])


def test_a_story_is_told_in_words(doubled: LedgerFail) -> None:
    lines = told(doubled.steps, doubled.error.found, settings()).splitlines()
    assert lines[0].endswith(
        "tracked with payout 4.50, amount 90.00 (PENDING); it is taken, the answer gets lost, and it is sent again"
    )
    assert lines[1].endswith(
        "Then the payout must be 4.50, not 9.00: that is every postback added up, those included that had been taken "
        "before."
    )


def test_each_request_of_a_story_is_a_line_for_a_shell_without_secrets(doubled: LedgerFail) -> None:
    shown = settings(SETTINGS + '[headers]\nX-Api-Key = "${PARTNER_KEY}"\nAuthorization = "Bearer abc"\n')
    steps = (*doubled.steps, Restart(), replace(doubled.steps[0], lost=False, at_once=3))
    text = curl_lines(steps, shown, "http://user:word@127.0.0.1:8080/postback")
    assert text.count("curl http://127.0.0.1:8080/postback") == 3
    assert "# 2. now start the endpoint anew" in text
    assert "# 3. 3 times at the same moment\nfor _ in 1 2 3; do\ncurl " in text
    assert text.endswith(" &\ndone; wait\n")
    assert text.startswith("# The endpoint knows 25619.")
    assert "abc" not in text
    assert "word" not in text


def test_ids_that_end_alike_do_so_again_under_new_ids() -> None:
    step = Send(event=example_event("action_lifecycle"), made=0)
    old = ("1000.6705.7", "1001.6705.7", "1000.6705.8")
    steps = [replace(step, event=replace(step.event, values={"ActionId": each})) for each in old]
    numbers = count(100)
    renamed = with_fresh_ids(steps, lambda old: f"{old.rpartition('.')[0]}.{next(numbers)}")
    new = [one.event.values["ActionId"] for one in renamed if isinstance(one, Send)]
    assert new == ["1000.6705.100", "1001.6705.100", "1000.6705.101"]


def case_file(fail: LedgerFail, case: str = "state.accepted-then-lost") -> CaseFile:
    return CaseFile(case=case, seed=SEED, max_examples=5, notification=SOURCE, steps=fail.steps, story="Twice.\nSo.")


def test_a_case_file_is_read_as_it_was_written(doubled: LedgerFail) -> None:
    wanted = case_file(replace(doubled, steps=(*doubled.steps, Restart(), replace(doubled.steps[0], at_once=4))))
    data = encode_case_file(wanted)
    found = decode_case_file(data, name="case.json")
    assert encode_case_file(found) == data
    assert found.steps == wanted.steps
    assert file_name(found) == "state.accepted-then-lost-1.json"


@pytest.mark.parametrize(("kind", "fails"), [(AddsEverything, True), (AddsDeltas, False)])
def test_a_case_file_fails_again_where_nothing_was_mended(
    doubled: LedgerFail, kind: type[Ledger], *, fails: bool
) -> None:
    case = case_of(decode_case_file(encode_case_file(case_file(doubled)), name="c.json"), CASES, name="c.json")
    (outcome,) = run([case], kind).values()
    assert isinstance(outcome, LedgerFail) is fails
    assert isinstance(outcome, LedgerFail) or outcome == PASS


def test_a_case_file_without_steps_is_the_case_itself() -> None:
    file = CaseFile(case="state.reversal", seed=SEED, max_examples=5, notification=SOURCE)
    assert case_of(decode_case_file(encode_case_file(file), name="c"), CASES, name="c") == BY_ID["state.reversal"]


def test_a_restart_that_cannot_be_done_is_no_pass(doubled: LedgerFail) -> None:
    case = case_of(case_file(replace(doubled, steps=(*doubled.steps, Restart()))), CASES, name="c.json")
    (outcome,) = run([case]).values()
    assert isinstance(outcome, NotApplicable)


GOOD: Final[dict[str, object]] = {
    "format": "postback-case/1",
    "case": "state.reversal",
    "seed": 1,
    "notification": {"name": "n.toml", "text": SETTINGS},
    "steps": [],
}
EVENT: Final[dict[str, object]] = {
    "event": "action_lifecycle",
    "at": "2026-05-11T00:07:27+03:00",
    "values": {"ActionId": "1"},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "postback-case/9"}, "c.json, format: expected postback-case/1, got 'postback-case/9'"),
        ({"seed": "x"}, "c.json: this is no case file of the kit: Expected `int`, got `str`"),
        ({"seed": -1}, "c.json, seed: expected a number from 0"),
        ({"extra": 1}, "c.json: this is no case file of the kit: Object contains unknown field `extra`"),
        ({"steps": [{"do": "send"}]}, "c.json, steps, 1: expected the key event"),
        ({"steps": [{"do": "dance"}]}, "c.json, steps, 1, do: expected send or restart, got 'dance'"),
        ({"steps": [{"do": "send", "event": EVENT, "at_once": 99}]}, "steps, 1, at_once: expected a number from 1"),
        ({"steps": [{"do": "restart"}] * 1001}, "c.json, steps: expected at most 1000, got 1001"),
    ],
)
def test_a_wrong_case_file_says_where_and_what(change: dict[str, object], message: str) -> None:
    with pytest.raises(CaseFileError) as raised:
        decode_case_file(msgspec.json.encode({**GOOD, **change}), name="c.json")
    assert message in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[", b"[" * 100_000, b"{}", b"null", b" " * (MAX_BYTES + 1)])
def test_what_is_no_case_file_is_refused(data: bytes) -> None:
    with pytest.raises(CaseFileError, match=r"^c\.json: "):
        decode_case_file(data, name="c.json")


def test_a_wrong_event_in_a_case_file_is_named_with_its_place() -> None:
    steps = [{"do": "send", "event": {**EVENT, "values": {"Payout": 4.2}}}]
    with pytest.raises(EventFormatError, match=r"c\.json, steps, 1, event, line 1, /values/Payout: expected a text"):
        decode_case_file(msgspec.json.encode({**GOOD, "steps": steps}), name="c.json")


def test_a_case_nobody_knows_is_named_with_the_nearest() -> None:
    file = decode_case_file(msgspec.json.encode({**GOOD, "case": "state.reversals"}), name="c.json")
    with pytest.raises(CaseFileError, match=r"there is no case 'state\.reversals'.*state\.reversal"):
        case_of(file, CASES, name="c.json")


def test_the_error_of_a_ledger_says_what_was_expected(doubled: LedgerFail) -> None:
    assert isinstance(doubled.error, LedgerError)
    assert "payout: expected 4.50, got 9.00" in str(doubled.error)
