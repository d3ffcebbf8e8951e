"""The ledger machine: Hypothesis acts on many actions at once, and looks for the shortest way to a wrong ledger.

Hypothesis' state machines cannot await. So this one is synchronous, runs on a thread of its own, and hands whatever has
to be awaited to a loop that runs beside it.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar

import msgspec
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from postback_conformance.ledger.making import CENT, Life
from postback_conformance.ledger.play import LedgerError, Partner, Play
from postback_conformance.ledger.step import Restart, Send, Step
from postback_sender.action import Conversion
from postback_sender.notification import Notification

T = TypeVar("T")

_MOST_ACTIONS: Final = 4
_MOST_UPDATES: Final = 12
_STEPS: Final = 40
"""Steps of one run: enough for two or three lives with everything that can happen to their postbacks."""

# They speak of strategies, and here time goes by in somebody's server.
_NOT_FOR_ENDPOINTS: Final = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)

Await = Callable[[Coroutine[Any, Any, None]], None]
"""Has a coroutine run on the loop beside, and returns when it is done, or raises what it raised."""

Fate = Literal["sent", "held back", "answer lost", "twice at once"]

# Mostly they just arrive; the last two take connections of their own, and so the longest.
_FATES = st.sampled_from((*["sent"] * 5, *["held back"] * 3, "answer lost", "twice at once"))
# Sums and differences of some of these are wrong in binary floating point, and the largest has more digits than a
# single-precision number keeps. None is out of the ordinary.
_MONEY = st.sampled_from([cents * CENT for cents in (*range(1, 2001), *[10, 20, 70, 110, 335, 1999, 99_999_99] * 300)])
_WHICH = st.integers(0, _MOST_ACTIONS * _MOST_UPDATES - 1)


class MakeConversion(Protocol):
    """Makes the conversion of a new action, with an id that no other ever had."""

    def __call__(self, *, payout: str, amount: str) -> Conversion: ...


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine stands on.

    `is_over` is told whether anything was found so far, and says whether the time is up. `restarts` is whether the
    endpoint can be started anew.
    """

    notification: Notification
    partner: Partner
    conversion: MakeConversion
    started_at: datetime
    wait: Await
    is_over: Callable[[bool], bool]
    restarts: bool = False


class Search(msgspec.Struct, kw_only=True):
    """What came of a search: how many runs and steps were made, and the shortest way to a wrong ledger, if any.

    `is_flaky` tells that the same steps did not always lead there: the endpoint loses something now and then.
    `is_cut` tells that the time was up before Hypothesis was done. `compared` and `undecided` are those of all plays.
    """

    runs: int = 0
    steps: int = 0
    compared: int = 0
    undecided: set[str] = msgspec.field(default_factory=set[str])
    shortest: LedgerError | None = None
    is_flaky: bool = False
    is_cut: bool = False

    def note(self, error: LedgerError) -> None:
        """Keep the shortest."""
        if self.shortest is None or len(error.steps) <= len(self.shortest.steps):
            self.shortest = error


class TimeIsUpError(BaseException):
    """Ends a search from within; Hypothesis lets it pass, as it would Ctrl-C."""


def search(ground: Ground, *, seed_number: int, max_examples: int, step_count: int = _STEPS) -> Search:
    """Look for a wrong ledger, shrink what is found, and return what came of it.

    What the partner raises that is no `LedgerError`, such as an error of the probe, is raised. Hypothesis' settings are
    those of the current profile, its database included.
    """
    found = Search()
    machine = seed(seed_number)(ledger_machine(ground, found))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=max_examples,
                stateful_step_count=step_count,
                deadline=None,
                print_blob=False,
                # It prints to stdout, where reports go.
                verbosity=Verbosity.quiet,
                report_multiple_bugs=False,
                suppress_health_check=_NOT_FOR_ENDPOINTS,
                # The story is told by us; explaining would take the time that shrinking has.
                phases=tuple(phase for phase in settings().phases if phase is not Phase.explain),
            ),
        )
    except LedgerError as error:
        found.shortest = error
    except (Flaky, ExceptionGroup):
        if found.shortest is None:
            raise
        found.is_flaky = True
    except TimeIsUpError:
        found.is_cut = True
    return found


def ledger_machine(ground: Ground, found: Search) -> type["LedgerMachine"]:
    """Return the machine of an endpoint, to be run by Hypothesis; `found` is told how it goes."""
    return type("LedgerMachine", (LedgerMachine,), {"ground": ground, "found": found})


class LedgerMachine(RuleBasedStateMachine):
    """Lives of actions, and what networks do to their postbacks; see `ledger_machine`."""

    ground: ClassVar[Ground]
    found: ClassVar[Search]

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(self.ground.notification, self.ground.partner)
        self.lives: list[Life] = []
        self.held: list[Send] = []
        self.sent: list[Send] = []
        self.is_broken = False
        self.found.runs += 1

    @precondition(lambda self: len(self.lives) < _MOST_ACTIONS)
    @rule(payout=_MONEY, amount=_MONEY, fate=_FATES)
    def track(self, payout: Decimal, amount: Decimal, fate: Fate) -> None:
        conversion = self.ground.conversion(payout=f"{payout:.2f}", amount=f"{amount:.2f}")
        life = Life(self.ground.notification, conversion, self.ground.started_at)
        self.lives.append(life)
        self._send(life.newest, fate)

    @precondition(lambda self: self._of("can_be_modified"))
    @rule(which=_WHICH, payout=_MONEY, amount=_MONEY, fate=_FATES)
    def modify(self, which: int, payout: Decimal, amount: Decimal, fate: Fate) -> None:
        self._send(_one(self._of("can_be_modified"), which).modify(payout, amount), fate)

    @precondition(lambda self: self._of("can_be_reversed"))
    @rule(which=_WHICH, fate=_FATES)
    def reverse(self, which: int, fate: Fate) -> None:
        self._send(_one(self._of("can_be_reversed"), which).reverse(), fate)

    @precondition(lambda self: self._of("can_be_restored"))
    @rule(which=_WHICH, fate=_FATES)
    def restore(self, which: int, fate: Fate) -> None:
        self._send(_one(self._of("can_be_restored"), which).restore(), fate)

    @precondition(lambda self: self._of("can_be_cleared"))
    @rule(which=_WHICH, fate=_FATES)
    def clear(self, which: int, fate: Fate) -> None:
        self._send(_one(self._of("can_be_cleared"), which).clear(), fate)

    @precondition(lambda self: self.held)
    @rule(which=_WHICH)
    def deliver_late(self, which: int) -> None:
        step = _one(self.held, which)
        self.held.remove(step)
        self._send(step, "sent")

    @precondition(lambda self: self.sent)
    @rule(which=_WHICH, fate=_FATES)
    def send_again(self, which: int, fate: Fate) -> None:
        self._send(_one(self.sent, which), fate)

    @precondition(lambda self: self.ground.restarts and self.sent)
    @rule()
    def restart(self) -> None:
        self._take(Restart())

    def teardown(self) -> None:
        self.found.compared += self.play.compared
        self.found.undecided |= self.play.undecided.keys()
        if self.is_broken:
            return
        for step in self.held:
            self._take(step)
        self._wait(self.play.end())

    def _of(self, can: str) -> list[Life]:
        return [life for life in self.lives if getattr(life, can) and len(life.updates) < _MOST_UPDATES]

    def _send(self, step: Send, fate: Fate) -> None:
        if fate == "held back":
            self.held.append(step)
            return
        if step not in self.sent:
            self.sent.append(step)
        self._take(replace(step, lost=fate == "answer lost", at_once=2 if fate == "twice at once" else 1))

    def _take(self, step: Step) -> None:
        self.found.steps += 1
        self._wait(self.play.take(step))

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        if self.ground.is_over(self.found.shortest is not None):
            work.close()
            self.is_broken = True
            raise TimeIsUpError
        try:
            self.ground.wait(work)
        except LedgerError as error:
            self.is_broken = True
            self.found.note(error)
            raise
        except BaseException:
            self.is_broken = True
            raise


def _one(choices: list[T], which: int) -> T:
    return choices[which % len(choices)]
