"""Has scripts of steps played to the endpoint, and makes outcomes of what its books said then."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from postback_conformance.judging.verdict import PASS, Fail, NotApplicable, Outcome
from postback_conformance.ledger.model import tells
from postback_conformance.ledger.play import LedgerError, play
from postback_conformance.ledger.shortening import with_fresh_ids
from postback_conformance.ledger.step import Restart, Step
from postback_conformance.ledger.story import difference_text, in_one_line
from postback_conformance.suite.bench import Bench
from postback_conformance.suite.outcomes import unknown_actions
from postback_conformance.suite.partner import BenchPartner


class LedgerFail(Fail, frozen=True, kw_only=True):
    """A failure with the steps that led to it, for a case file."""

    steps: tuple[Step, ...]
    error: LedgerError


class Script(NamedTuple):
    """Steps, and in words what is special about them."""

    what: str
    steps: Sequence[Step]


def tells_updates(bench: Bench) -> bool:
    """Tell whether the notification reports what happens to an action after it was tracked."""
    return bench.like == "action_lifecycle" and bench.notification.level == "global"


def not_applicable(bench: Bench, *, of_updates: bool) -> NotApplicable | None:
    """Return why nothing of an action's state can be looked up with these settings."""
    why = unknown_actions(bench)
    if not why and not tells(bench.notification).anything:
        why = "the templates tell neither status nor payout nor amount"
    if not why and of_updates and not tells_updates(bench):
        why = "the notification reports one update of each action only"
    return NotApplicable(why=why, by_settings=True) if why else None


async def run_steps(bench: Bench, *, steps: Sequence[Step]) -> Iterable[Outcome]:
    """Do the steps of a case file about new actions, and return what came of it."""
    if reason := not_applicable(bench, of_updates=False):
        return (reason,)
    if bench.endpoint.restart is None and any(isinstance(step, Restart) for step in steps):
        return (NotApplicable(why="the file has the endpoint restarted, and there is no restart hook"),)
    steps = with_fresh_ids(steps, partial(fresh_id, bench))
    return await play_all(bench, (Script("once more", steps),), texts=True)


async def play_all(bench: Bench, scripts: Iterable[Script], *, texts: bool) -> Iterable[Outcome]:
    """Do scripts until one goes wrong, and return what came of it; `texts` is whether more than figures is compared."""
    compared, undecided = 0, dict[str, int]()
    for script in scripts:
        partner = BenchPartner(bench)
        try:
            run = await play(bench.notification, partner, script.steps, texts=texts)
        except LedgerError as error:
            return (failure(script.what, error, partner, bench),)
        compared += run.compared
        undecided |= run.undecided
    return (PASS,) if compared else (untold(undecided),)


def failure(what: str, error: LedgerError, partner: BenchPartner, bench: Bench) -> LedgerFail:
    """Return the failure that a wrong ledger is."""
    first = error.found[0]
    return LedgerFail(
        message=f"{what}: {in_one_line(error.steps, bench.notification)}. {difference_text(first, error.steps)}",
        expected=f"{first.field}: {first.expected}",
        actual=first.actual,
        captures=tuple(partner.captures[-len(error.steps) :]),
        steps=error.steps,
        error=error,
    )


def untold(undecided: Iterable[str]) -> NotApplicable:
    """Return why nothing was compared."""
    if reasons := sorted(undecided):
        return NotApplicable(why=f"nobody can know what must be recorded: {'; '.join(reasons)}")
    return NotApplicable(why="the probe tells nothing of the figures that the postbacks tell: status, payout, amount")


def fresh_id(bench: Bench, old: str) -> str:
    """Return an id like an old one that no action ever had."""
    return f"{old.rpartition('.')[0]}.{bench.fresh_sequence()}"
